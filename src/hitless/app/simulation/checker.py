"""Looks at every touch of the simulated world, and says which promise it breaks."""

from collections.abc import Callable, Iterable

from hitless.app.database_planning import schema_of
from hitless.app.simulation.backing import Schema
from hitless.app.simulation.effects import Defined, Effect, Launched, Prepared, Routed, Schemed, Stopped
from hitless.app.simulation.promises import Seen, lacks, not_whole, unfounded
from hitless.app.simulation.told import Told, covers, rank
from hitless.database.steps import Contract
from hitless.engine.journal import (
    Approved,
    Ended,
    Entry,
    Finished,
    Held,
    Noted,
    Started,
    TurnedBack,
    Undoing,
    Undone,
    Withheld,
)
from hitless.flags.steps import Stage
from hitless.plan.instances import Slot
from hitless.plan.plan import Plan
from hitless.plan.step import Step
from hitless.traffic.steps import Shift

SOON_S = 0.002  # rounding of times
FLIPS_LIMIT = 2  # of one user in one run: there, and back


class Checker:
    """Holds every effect and every fact against the promises; the first that is broken is kept."""

    def __init__(self, world: Seen) -> None:
        self._world = world
        self.runs: dict[str, Told] = {}
        self.plans: dict[str, Plan] = {}  # by hash
        self.broken: list[str] = []
        self.on_broken: Callable[[], None] = lambda: None

    def blame(self, what: str) -> None:
        """Note a broken promise."""
        self.broken.append(f"{what} (at {self._world.clock.now() - self._world.telemetry.begun:.3f} s)")
        self.on_broken()

    def began(self, run: str, plan: str) -> None:
        """A run has been written down; `plan` is the hash of its plan."""
        self.runs[run] = Told(plan=self.plans[plan], start=self._world.stand())

    def flipped(self, service: str, user: str, slot: Slot) -> None:
        """A user meets another version than before."""
        for told in self.runs.values():
            if service in told.plan.claims and told.ended != "over":
                told.flips[service, user] = told.flips.get((service, user), 0) + 1
                if told.flips[service, user] > FLIPS_LIMIT:
                    self.blame(f"user {user} of {service} was moved {told.flips[service, user]} times, now to {slot}")
                return
        self.blame(f"user {user} of {service} was moved to {slot} with no run under way")

    def effect(self, effect: Effect) -> None:
        """Something is about to be done."""
        self._check_written(effect)
        match effect:
            case Stopped():
                self._check_stop(effect)
            case Prepared():
                self._check_prepare(effect)
            case Routed():
                self._check_route(effect)
            case Defined():
                self._check_serve()
            case Schemed():
                self._check_schema(effect)
            case _:
                pass

    def fact(self, entry: Entry) -> None:
        """Something was written into the journal."""
        told = self.runs[entry.run]
        match entry.fact:
            case Started() | Finished() | Undoing() | Undone() as fact:
                self._step(told, fact, entry.at)
            case TurnedBack():
                told.turned_back, told.ended = True, ""
            case Withheld(position):
                told.open, told.reached, told.approved = None, position, False
            case Approved():
                told.approved, told.ended = True, ""
            case Held(_, again=True):
                told.open, told.reached = None, told.reached - 1
                told.began.pop(told.reached, None)
            case Noted(position, remark) if "went_on" in remark:
                told.went_on.add(position)
            case Ended(state):
                told.ended = state
                self._blame_all(not_whole(self._world, told, self._others(told), state))
            case _:
                pass

    def _step(self, told: Told, fact: Started | Finished | Undoing | Undone, at: float) -> None:
        step = told.plan.steps[fact.position]
        inverse = step.inverse()
        match fact:
            case Started(position):
                told.open, told.backward, told.reached = step, False, position + 1
                told.began.setdefault(position, at)
            case Finished(position):
                told.open = None
                if position not in told.went_on:
                    self._in_force(step)
                self._blame_all(unfounded(self._world, told, position))
            case Undoing(position):
                if not told.turned_back:
                    self.blame(f"step {position} is taken back by a run that goes forward")
                told.open, told.backward = inverse, True
            case Undone(position):
                told.open, told.reached = None, position
                if inverse is not None:
                    self._in_force(inverse)

    def _in_force(self, step: Step) -> None:
        """What the journal calls done is in force."""
        self._blame_all(f"{step.describe()} is called done, and {what}" for what in lacks(self._world, step))

    def _others(self, told: Told) -> list[Told]:
        return [run for run in self.runs.values() if run is not told]

    def _blame_all(self, found: Iterable[str]) -> None:
        for what in found:
            self.blame(what)

    # promises about single effects

    def _check_written(self, effect: Effect) -> None:
        """The engine writes down, then touches."""
        if isinstance(effect, Launched):
            return
        if isinstance(effect, Stopped):
            life = self._world.machine.lives[effect.instance]
            if life.retire_at is not None and life.retire_at <= self._world.clock.now():
                return
        if not any(told.open is not None and covers(told.open, effect) for told in self.runs.values()):
            self.blame(f"{effect} is done, and no journal says so")

    def _check_stop(self, effect: Stopped) -> None:
        instance, front = effect.instance, self._world.front
        now = self._world.clock.now()
        place = front.places.get(instance)
        life = self._world.machine.lives[instance]
        if place is not None and place.state == "ready":
            self.blame(f"{instance} is stopped while it takes requests")
        left = front.in_flight(instance, now)
        if left and life.wanted:
            given_s = now - front.drained_at.get(instance, now)
            due_s = self._world.drains.get(instance.service, 0.0)
            if given_s < due_s - SOON_S:
                self.blame(f"{left} requests of {instance} are closed after {given_s:.3f} s of {due_s:g} s")

    def _check_prepare(self, effect: Prepared) -> None:
        schema = schema_of(effect.launch)
        if schema is not None and schema[1] not in self._world.schemas[schema[0]].versions:
            self.blame(f"{effect.instance} is started before schema version {schema[1]} is there")

    def _check_route(self, effect: Routed) -> None:
        """Shares grow on the way forward and shrink on the way back; flags go back before users do."""
        now = self._world.front.routings.get(effect.routing.service)
        for told in self.runs.values():
            if now is None or not isinstance(told.open, Shift) or told.open.after != effect.routing:
                continue
            first = told.start.routings[effect.routing.service].baseline
            grows = rank(effect.routing, first) - rank(now, first)
            if grows < 0 and not told.backward:
                self.blame(f"the share of {effect.routing.service} shrinks on the way forward")
            if grows > 0 and told.backward:
                self.blame(f"the share of {effect.routing.service} grows on the way back")
            if grows < 0:
                self._check_flags_back(told)

    def _check_flags_back(self, told: Told) -> None:
        for step in told.plan.steps:
            if isinstance(step, Stage):
                served = self._world.flags.served.get(step.flag, "")
                before = told.start.flags.get(step.flag, "")
                if served != before or self._world.flags.slow(self._world.clock.now()):
                    self.blame(f"users are moved back while flag {step.flag} is raised for some of them")

    def _check_serve(self) -> None:
        """Code everywhere before the flag that needs it."""
        for told in self.runs.values():
            if not isinstance(told.open, Stage):
                continue
            for step in told.plan.steps:
                if isinstance(step, Shift) and step.after.baseline != step.before.baseline:
                    now = self._world.front.routings[step.after.service]
                    if now.baseline != step.after.baseline or now.share.buckets:
                        self.blame(f"flag {told.open.flag} is moved while users meet the old {now.service}")

    def _check_schema(self, effect: Schemed) -> None:
        schema = self._world.schemas[effect.database]
        if effect.phase in ("withdrawn", "contracted"):
            going = {effect.version} if effect.phase == "withdrawn" else {*schema.versions} - {effect.version}
            for instance, life in self._world.machine.lives.items():
                used = schema_of(life.launch)
                if life.pid is not None and used is not None and used[0] == effect.database and used[1] in going:
                    self.blame(f"schema version {used[1]} is {effect.phase} while {instance} uses it")
        if effect.phase == "contracted":
            self._check_contract(schema)

    def _check_contract(self, schema: Schema) -> None:
        if schema.phase != "verified" or schema.differs:
            self.blame(f"contract after phase {schema.phase} with {schema.differs} rows that differ")
        for told in self.runs.values():
            if isinstance(told.open, Contract) and told.plan.gate is not None and not told.approved:
                self.blame("contract without an approval")
