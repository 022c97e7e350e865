"""A plan of the user's own, against the system as it runs now, simulated many times. Pure but for what it is asked of.

The waits of the plan are shortened: what is looked for is a wrong order or a wrong way back, and both are the same
after one second of baking as after ten minutes.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from hitless.app.database_planning import schema_of
from hitless.app.facts import Facts
from hitless.app.simulation.chance import Case, chances
from hitless.app.simulation.front import Crowd
from hitless.app.simulation.stand import Stand
from hitless.app.simulation.world import Setting
from hitless.app.world import KINDS
from hitless.database.steps import Expand
from hitless.flags.steps import Bake, Stage
from hitless.plan.instances import InstanceId
from hitless.plan.plan import Plan
from hitless.plan.step import Step
from hitless.runtime.steps import Check, Launch, Start, Stop
from hitless.signals.steps import Watch
from hitless.traffic.steps import Admit, Drain, Routing, Shift

BAKE_S, NO_EVIDENCE_S, KEEP_S, DRAIN_S, READY_S, CHECK_S = 1.0, 10.0, 3.0, 2.0, 5.0, 5.0  # at most
USERS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What is simulated: a plan, and the world that it was made for."""

    plan: Plan
    stand: Stand

    @classmethod
    def of(cls, plan: Plan, facts: Facts) -> Self:
        """Take what runs now; schemas are those that are used, flags those that the plan begins from."""
        stand = Stand.of(facts)
        schemas: dict[str, tuple[str, ...]] = {step.database: () for step in plan.steps if isinstance(step, Expand)}
        for used in sorted({each for each in map(schema_of, stand.running.values()) if each is not None}):
            schemas[used[0]] = (*schemas.get(used[0], ()), used[1])
        flags: dict[str, str] = {}
        for step in plan.steps:
            if isinstance(step, Stage):
                flags.setdefault(step.flag, step.before)
        return cls(plan=plan, stand=replace(stand, schemas=schemas, flags={k: v for k, v in flags.items() if v}))

    @classmethod
    def from_data(cls, plain: Mapping[str, Any]) -> Self:
        """Read what `to_data` wrote. Raises InvalidInput for a plan that is not whole."""
        stand = plain["stand"]
        return cls(
            plan=Plan.from_json(plain["plan"], KINDS),
            stand=Stand(
                routings={name: Routing.from_data(each) for name, each in stand["routings"].items()},
                running={InstanceId.parse(name): Launch.from_data(each) for name, each in stand["running"].items()},
                ready=frozenset(map(InstanceId.parse, stand["ready"])),
                kept=frozenset(map(InstanceId.parse, stand["kept"])),
                schemas={name: tuple(each) for name, each in stand["schemas"].items()},
                flags=stand["flags"],
            ),
        )

    def to_data(self) -> dict[str, Any]:
        """Write it as plain data."""
        stand = self.stand
        return {
            "plan": self.plan.to_json(),
            "stand": {
                "routings": {name: each.to_data() for name, each in stand.routings.items()},
                "running": {str(name): each.to_data() for name, each in stand.running.items()},
                "ready": sorted(map(str, stand.ready)),
                "kept": sorted(map(str, stand.kept)),
                "schemas": {name: list(each) for name, each in stand.schemas.items()},
                "flags": dict(stand.flags),
            },
        }

    def case_of(self, seed: int) -> Case:
        """Return what a seed makes of it."""
        rng = random.Random(seed)  # noqa: S311  a simulation, no secret
        plan = replace(self.plan, steps=tuple(_shortened(step) for step in self.plan.steps))
        running = {each: _quick(launch) for each, launch in self.stand.running.items()}
        groups = {name: frozenset(_users()[:2]) for name in self._groups()}
        setting = Setting(
            stand=replace(self.stand, running=running),
            crowd=Crowd(users=_users(), path=tuple(self.stand.routings), groups=groups),
            drains=dict(self._drains(plan)),
        )
        return chances(setting, (plan,), rng, (plan.change,))

    def _groups(self) -> set[str]:
        groups = {step.after.group for step in self.plan.steps if isinstance(step, Shift)}
        return {name for name in groups | {each.group for each in self.stand.routings.values()} if name}

    @staticmethod
    def _drains(plan: Plan) -> Iterator[tuple[str, float]]:
        for step in plan.steps:
            if isinstance(step, Admit | Drain) and step.drain_s is not None:
                yield step.service, step.drain_s


def _users() -> tuple[str, ...]:
    return tuple(f"user-{number}" for number in range(USERS))


def _quick(launch: Launch) -> Launch:
    return replace(launch, ready_timeout_s=min(launch.ready_timeout_s, READY_S))


def _shortened(step: Step) -> Step:
    match step:
        case Watch():
            quiet_s = min(step.no_evidence_s, NO_EVIDENCE_S)
            felt = replace(step, metrics=(), loads=())  # nobody measures them in a world of its own
            return replace(felt, bake_s=min(step.bake_s, BAKE_S), no_evidence_s=quiet_s)
        case Bake():
            quiet_s = min(step.no_evidence_s, NO_EVIDENCE_S)
            return replace(step, bake_s=min(step.bake_s, BAKE_S), no_evidence_s=quiet_s)
        case Start():
            return replace(step, launch=_quick(step.launch))
        case Stop():
            return replace(step, launch=_quick(step.launch), keep_s=min(step.keep_s, KEEP_S))
        case Admit() | Drain() if step.drain_s is not None:
            return replace(step, drain_s=min(step.drain_s, DRAIN_S))
        case Check():
            return replace(step, timeout_s=min(step.timeout_s, CHECK_S))
        case _:
            return step
