"""One run in the simulated world, from the start of the first controller to the rest of the last."""

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from hitless.app.simulation.clock import VirtualLoop
from hitless.app.simulation.controllers import SimulatedController, Site
from hitless.app.simulation.faults import Faults
from hitless.app.simulation.world import Setting, SimulatedWorld
from hitless.engine.journal import Entry
from hitless.plan.plan import Plan

LONGEST_S = 900.0  # virtual: whatever takes longer never ends
LOOK_S = 0.25
AFTERWARDS_S = 1.0  # users go on, and what is overdue is stopped
RESTING = ("completed", "rolled-back", "rollback-incomplete")


@dataclass(frozen=True, slots=True)
class Order:
    """What a person tells a run, and when."""

    at_s: float  # from the beginning; for `rollback` and `contract`: after it has come to rest
    verb: str  # hold, resume, abort, rollback, contract


@dataclass(frozen=True, slots=True, kw_only=True)
class Troubles:
    """What goes wrong around the controllers; seconds from the beginning."""

    deaths: tuple[float, ...] = ()  # some instance is killed
    lost: frozenset[int] = frozenset()  # records of these seconds never arrive
    away: tuple[tuple[float, float], ...] = ()  # the recorder does not answer
    differs: bool = False  # a verification finds rows that differ

    def __str__(self) -> str:
        """Say it in words."""
        said = [f"instances die after {', '.join(f'{at:.1f}' for at in self.deaths)} s"] if self.deaths else []
        said += [f"{len(self.lost)} seconds are lost"] if self.lost else []
        said += [f"no recorder from {begin:.1f} to {end:.1f} s" for begin, end in self.away]
        said += ["rows differ"] if self.differs else []
        return ", ".join(said) or "nothing else goes wrong"


CALM = Troubles()


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What came of it."""

    states: list[str] = field(default_factory=list)  # of each run, in order
    broken: list[str] = field(default_factory=list)
    facts: list[Entry] = field(default_factory=list)
    lives: int = 0  # of controllers
    seconds: float = 0.0  # virtual
    requests: int = 0
    failed: int = 0


class Simulation:
    """Runs of plans in one world, with what goes wrong and what people say."""

    def __init__(
        self, setting: Setting, plans: Sequence[Plan], faults: Faults, rng: random.Random, troubles: Troubles
    ) -> None:
        self._plans, self._rng, self._troubles = plans, rng, troubles
        self.world = SimulatedWorld(setting, rng)
        self._site = Site(self.world, faults, rng)
        self._broken = asyncio.Event()
        self.world.checker.on_broken = self._broken.set

    async def run(self, orders: Sequence[Order]) -> Outcome:
        """Carry all plans out at once, and return what came of it."""
        outcome = Outcome()
        script = asyncio.ensure_future(self._all(orders))
        broken = asyncio.ensure_future(self._broken.wait())
        await asyncio.wait({script, broken}, timeout=LONGEST_S, return_when=asyncio.FIRST_COMPLETED)
        if script.done():
            script.result()
        elif not broken.done():
            self.world.checker.blame("never comes to rest")
        store = self.world.store
        outcome.states = [row.state for row in store.rows.values()]
        outcome.broken = self.world.checker.broken
        outcome.facts = [entry for facts in store.facts.values() for entry in facts]
        outcome.lives, outcome.seconds = self._site.lives, asyncio.get_running_loop().time()
        outcome.requests, outcome.failed = self.world.front.counts.total, self.world.front.counts.failed
        return outcome

    async def _all(self, orders: Sequence[Order]) -> None:
        self._site.begin()
        deaths = asyncio.ensure_future(self._die())
        self._afflict()
        for plan in self._plans:
            self.world.checker.plans[plan.hash] = plan
        runs = [await self._begin(plan) for plan in self._plans]
        early = [order for order in orders if order.verb in ("hold", "resume", "abort")]
        told = [asyncio.ensure_future(self._tell_at(order, runs)) for order in early]
        await asyncio.gather(*told)
        await self._rest(runs)
        for order in (order for order in orders if order not in early):
            await asyncio.sleep(order.at_s)
            for run in runs:
                await self._tell(run, order.verb)
            await self._rest(runs)
        deaths.cancel()
        await asyncio.sleep(AFTERWARDS_S)
        self.world.advance()

    def _afflict(self) -> None:
        telemetry, troubles = self.world.telemetry, self._troubles
        telemetry.lose(int(telemetry.begun) + second for second in troubles.lost)
        telemetry.away = [(telemetry.begun + begin, telemetry.begun + end) for begin, end in troubles.away]
        for schema in self.world.schemas.values():
            schema.differs = int(troubles.differs)

    async def _die(self) -> None:
        """Kill instances, as a machine without memory does."""
        loop = asyncio.get_running_loop()
        for at in self._troubles.deaths:
            await asyncio.sleep(max(0.0, at - loop.time()))
            self.world.advance()
            lives = self.world.machine.lives
            alive = [each for each in sorted(lives) if lives[each].pid is not None and lives[each].wanted]
            if alive:
                self.world.machine.kill(lives[self._rng.choice(alive)], self.world.clock.now())

    async def _begin(self, plan: Plan) -> str:
        """Apply until somebody has written it down: a person tries again when the controller died over it."""
        known = set(self.world.store.rows)
        while True:
            await self._site.tell(lambda controller: controller.engine.begin(plan))
            new = [run for run, row in self.world.store.rows.items() if row.plan["hash"] == plan.hash]
            if new and set(new) - known:
                return new[-1]
            await asyncio.sleep(LOOK_S)

    async def _tell_at(self, order: Order, runs: list[str]) -> None:
        await asyncio.sleep(order.at_s)
        for run in runs:
            await self._tell(run, order.verb)

    async def _tell(self, run: str, verb: str) -> bool:
        orders: dict[str, Callable[[SimulatedController], Coroutine[Any, Any, object]]] = {
            "hold": lambda controller: controller.engine.hold(run, "simulated"),
            "resume": lambda controller: controller.engine.resume(run),
            "abort": lambda controller: controller.engine.abort(run, "simulated"),
            "rollback": lambda controller: controller.engine.rollback(run, "simulated"),
            "contract": lambda controller: controller.engine.approve(run, "simulated"),
        }
        return await self._site.tell(orders[verb])

    async def _rest(self, runs: Sequence[str]) -> None:
        """Wait until all runs are at rest; whoever is held or stuck is told to go on."""
        while True:
            states = {run: self.world.store.rows[run].state for run in runs}
            for run, state in states.items():
                if state in ("held", "rollback-incomplete"):
                    await self._tell(run, "resume" if self._rng.random() < 0.5 or state != "held" else "abort")
            if all(state in ("completed", "rolled-back") for state in states.values()):
                return
            await asyncio.sleep(LOOK_S)


def simulate(
    setting: Setting,
    plans: Sequence[Plan],
    faults: Faults,
    seed: int,
    orders: Sequence[Order] = (),
    troubles: Troubles = CALM,
) -> Outcome:
    """Run it in virtual time; the same arguments give the same outcome for ever."""
    rng = random.Random(seed)  # noqa: S311  a simulation, no secret
    loop = VirtualLoop()

    async def main() -> Outcome:
        return await Simulation(setting, plans, faults, rng, troubles).run(orders)

    loop.set_exception_handler(lambda _loop, _context: None)  # killed controllers leave loose ends
    try:
        return loop.run_until_complete(main())
    finally:
        _close(loop)


def _close(loop: asyncio.AbstractEventLoop) -> None:
    for _ in range(100):
        left = asyncio.all_tasks(loop)
        if not left:
            break
        for task in left:
            task.cancel()
        with suppress(BaseException):
            loop.run_until_complete(asyncio.wait(left, timeout=0))
    loop.close()
