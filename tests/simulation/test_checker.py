"""The checker bites: whatever is broken on purpose, some simulated run tells."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from typing import Any

import pytest

from hitless.app.simulation import hands
from hitless.app.simulation.chance import run_seed
from hitless.app.simulation.character import Character, Characters
from hitless.app.simulation.explore import Found, aborts, boundaries, touches
from hitless.app.simulation.faults import Exactly, Fault
from hitless.app.simulation.ports import SimulatedProcesses
from hitless.app.simulation.run import Order, simulate
from hitless.app.simulation.schemas import SimulatedDatabases
from hitless.app.simulation.shop import plan_of, setting_of
from hitless.app.simulation.store import SimulatedJournal
from hitless.app.strategies import Ship
from hitless.engine import executor as executor_room
from hitless.engine.executor import Executor
from hitless.engine.journal import Finished, Started, TurnedBack, Undoing, Undone
from hitless.engine.machine import Do, next_move
from hitless.flags.driver import FlagsDriver
from hitless.runtime.driver import RuntimeDriver
from hitless.signals.driver import SignalsDriver
from hitless.traffic.driver import TrafficDriver
from hitless.traffic.steps import Shift

KILLS = (Fault(kind="kill"), Fault(kind="kill", after=True))
PAUSES = (Fault(kind="pause", seconds=4.0),)
AWAY = (Fault(kind="lose store", after=True, seconds=5.0),)
LATE = (Fault(kind="slow", seconds=3.0),)


def calm(change: str, *orders: Order) -> Iterator[Found]:
    yield Found(case="calm", outcome=simulate(setting_of(change), (plan_of(change),), Exactly(), 1, orders))


def killed(change: str) -> Iterator[Found]:
    return boundaries(setting_of(change), plan_of(change))


def touched(change: str, faults: tuple[Fault, ...] = KILLS) -> Iterator[Found]:
    there = touches(setting_of(change), plan_of(change), faults)
    return chain(there, touches(setting_of(change), plan_of(change), faults, back=True))


def aborted(change: str) -> Iterator[Found]:
    return aborts(setting_of(change), plan_of(change), 0.1)


def by_chance(count: int) -> Iterator[Found]:
    return (Found(case=f"seed {seed}", outcome=run_seed(seed)) for seed in range(count))


def first_broken(cases: Iterator[Found]) -> str:
    return next((found.outcome.broken[0] for found in cases if found.outcome.broken), "nobody noticed")


async def nothing(*_: object, **__: object) -> None:
    """Do not do it."""


def without(facts: type | tuple[type, ...]) -> Callable[..., Any]:
    """Leave some facts unwritten."""
    write = Executor._write

    async def broken(self: Executor, fact: object) -> None:
        if not isinstance(fact, facts):
            await write(self, fact)  # type: ignore[arg-type]

    return broken


def test_an_engine_that_touches_without_writing_down(monkeypatch: pytest.MonkeyPatch) -> None:
    decide = Executor._decide

    async def hasty(self: Executor) -> Any:
        run = await self._read()
        move = next_move(run, len(self._plan.steps), self._plan.gate)
        if isinstance(move, Do):
            await self._attempt(
                self._plan.steps[move.position],
                self._moment(move.position, self._clock.now(), backward=False),
            )
        return await decide(self)

    monkeypatch.setattr(Executor, "_decide", hasty)
    assert "no journal says so" in first_broken(calm("blue-green"))


def test_an_engine_that_takes_back_without_writing_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Executor, "_write", without(Undoing))
    assert "no journal says so" in first_broken(calm("blue-green", Order(0.1, "rollback")))


def test_an_engine_that_calls_undone_what_it_has_not_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    ensure = Executor._ensure

    async def lazy(self: Executor, step: Any, moment: Any) -> Any:
        return None if moment.backward else await ensure(self, step, moment)

    monkeypatch.setattr(Executor, "_ensure", lazy)
    assert "is called done" in first_broken(calm("blue-green", Order(0.1, "rollback")))


def test_an_engine_that_calls_done_what_it_has_only_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a kill it goes on with the next step instead of looking again."""

    def forgetful(run: Any, length: int, gate: int | None = None) -> Any:
        move = next_move(run, length, gate)
        if run.in_doubt and isinstance(move, Do) and run.held is None and run.reached < length:
            return Do(run.reached)
        return move

    monkeypatch.setattr(executor_room, "next_move", forgetful)
    assert first_broken(killed("blue-green")) != "nobody noticed"


def test_an_engine_that_forgets_the_first_step_on_the_way_back(monkeypatch: pytest.MonkeyPatch) -> None:
    backward = Executor._backward

    async def short(self: Executor, position: int) -> None:
        if position == 0:
            await self._append(Undone(position))
        else:
            await backward(self, position)

    monkeypatch.setattr(Executor, "_backward", short)
    assert "is called done" in first_broken(calm("grow", Order(0.1, "rollback")))


def test_an_engine_that_does_not_hear_an_abort(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Executor, "_write", without(TurnedBack))
    monkeypatch.setattr("hitless.app.simulation.run.LONGEST_S", 60.0)
    assert first_broken(iter([Found(case="bad", outcome=_with_a_bad_version(3))])) != "nobody noticed"


def _with_a_bad_version(seed: int) -> Any:
    bad = replace(setting_of("blue-green"), characters=Characters({("orders", "1.1"): Character(fails=1.0)}))
    return simulate(bad, (plan_of("blue-green"),), Exactly(), seed)


def test_a_drain_that_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(self: TrafficDriver, instances: object, drain_s: object) -> int:
        return 0

    monkeypatch.setattr(TrafficDriver, "_wait", at_once)
    assert "are closed after" in first_broken(chain(calm("blue-green"), by_chance(200)))


def test_a_drain_that_counts_the_time_in_which_nobody_drained(monkeypatch: pytest.MonkeyPatch) -> None:
    drain = TrafficDriver._drain

    async def counting(self: TrafficDriver, step: Any, moment: Any) -> None:
        self._begun = moment.started_at  # type: ignore[attr-defined]
        await drain(self, step, moment)

    async def wait(self: TrafficDriver, instances: Any, drain_s: float | None) -> int:
        while True:
            left = sum([await self._gateway.in_flight(each) for each in instances])
            if left == 0 or (drain_s is not None and self._clock.now() >= self._begun + drain_s):  # type: ignore[attr-defined]
                return left
            await self._clock.sleep(0.025)

    monkeypatch.setattr(TrafficDriver, "_drain", counting)
    monkeypatch.setattr(TrafficDriver, "_wait", wait)
    busy = replace(setting_of("shrink"), crowd=replace(setting_of("shrink").crowd, long=0.3))
    assert "are closed after" in first_broken(touches(busy, plan_of("shrink"), AWAY))


def test_a_start_that_does_not_wait_until_it_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RuntimeDriver, "_await_ready", nothing)
    assert "does not serve" in first_broken(calm("blue-green"))


def test_a_start_that_takes_a_dying_instance_for_a_serving_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async def serves(self: RuntimeDriver, instance: Any, launch: Any) -> bool:
        state = await self._processes.state(instance)
        alive = state is not None and state.launch == launch and state.retire_at is None
        return alive and await self._processes.ready(instance)

    monkeypatch.setattr(RuntimeDriver, "_serves", serves)
    assert "does not run" in first_broken(chain(aborted("shrink"), aborted("blue-green"), touched("shrink")))


def test_an_instance_that_is_ended_before_its_time_of_return_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    async def eager(self: RuntimeDriver) -> None:
        for instance in await self._processes.instances():
            state = await self._processes.state(instance)
            if state is not None and state.retire_at is not None:
                await self._processes.stop(instance, state.launch.grace_s)

    monkeypatch.setattr(RuntimeDriver, "retire_overdue", eager)
    assert "no journal says so" in first_broken(calm("keep", Order(2.0, "rollback")))


def test_a_watch_that_goes_on_without_having_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SignalsDriver, "do", nothing)
    assert "went on after 0 whole seconds" in first_broken(calm("canary"))


def test_a_watch_that_goes_on_though_the_new_version_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    async def blind(self: SignalsDriver, step: Any, moment: Any) -> None:
        await self._clock.sleep(step.bake_s + 12.0)

    monkeypatch.setattr(SignalsDriver, "do", blind)
    monkeypatch.setattr(SignalsDriver, "harm", lambda *_: asyncio.Event().wait())
    assert "requests failed" in first_broken(iter([Found(case="bad", outcome=_with_a_bad_version(1))]))


def test_a_world_without_a_fence(monkeypatch: pytest.MonkeyPatch) -> None:
    do = hands.Hands._do
    monkeypatch.setattr(hands.Hands, "_do", lambda self, effect, **_: do(self, effect, fenced=False))
    assert first_broken(chain(touched("blue-green", PAUSES), by_chance(400))) != "nobody noticed"


def test_a_journal_that_lets_a_replaced_controller_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimulatedJournal, "_fence", lambda _: None)
    monkeypatch.setattr(SimulatedJournal, "ping", lambda _: None)
    assert first_broken(chain(touched("blue-green", PAUSES), by_chance(400))) != "nobody noticed"


def test_effects_that_land_after_their_step_was_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a thread does that is cancelled and not waited for."""
    monkeypatch.setattr(hands, "finish", asyncio.shield)
    orders = (Order(0.05 * number, "abort") for number in range(80))
    late = (
        Found(case=str(order), outcome=simulate(setting_of("blue-green"), (plan_of("blue-green"),), faults, 1, [order]))
        for order in orders
        for faults in [_all_slow()]
    )
    assert first_broken(late) != "nobody noticed"


def _all_slow() -> Any:
    class AllSlow(Exactly):
        def at_touch(self, what: str) -> Fault | None:
            return None if what in ("append", "create") else LATE[0]

    return AllSlow()


def test_users_who_are_moved_before_there_is_anybody_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def hasty(self: Ship) -> Iterator[Any]:
        steps = list(self._blue_green_whole())  # type: ignore[attr-defined]
        shift = next(step for step in steps if isinstance(step, Shift))
        return iter([shift, *(step for step in steps if step is not shift)])

    monkeypatch.setattr(Ship, "_blue_green_whole", Ship._blue_green, raising=False)
    monkeypatch.setattr(Ship, "_blue_green", hasty)
    assert "where nobody takes requests" in first_broken(_planned_anew("blue-green"))


def test_an_old_version_that_is_ended_before_users_have_left_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def hasty(self: Ship) -> Iterator[Any]:
        return chain(self._retire(self.old_numbers), self._whole())  # type: ignore[attr-defined]

    monkeypatch.setattr(Ship, "_whole", Ship._blue_green, raising=False)
    monkeypatch.setattr(Ship, "_blue_green", hasty)
    monkeypatch.setattr(Ship, "retire", lambda _: iter(()))
    assert "where nobody takes requests" in first_broken(_planned_anew("blue-green"))


def _planned_anew(change: str) -> Iterator[Found]:
    plan_of.cache_clear()
    try:
        plan = plan_of(change)
    finally:
        plan_of.cache_clear()
    yield Found(case=change, outcome=simulate(setting_of(change), (plan,), Exactly(), 1))


def test_a_flag_that_does_not_wait_for_its_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nobody(self: FlagsDriver) -> tuple[str, ...]:
        return ()

    monkeypatch.setattr(FlagsDriver, "_waiting", nobody)
    assert "is called done" in first_broken(calm("flag"))


def test_a_contract_that_asks_nobody_who_still_uses_the_old_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimulatedDatabases, "_users_of_old", lambda *_: 0)
    assert "is contracted while" in first_broken(calm("schema", Order(0.1, "contract")))


def test_a_plan_that_ships_code_before_its_schema() -> None:
    plan = plan_of("whole")
    starts = [step for step in plan.steps if step.kind == "start"]
    wrong = replace(plan, steps=(starts[0], *(step for step in plan.steps if step is not starts[0])))
    outcome = simulate(setting_of("whole"), (wrong,), Exactly(), 1)
    assert "is started before schema version" in outcome.broken[0]


def test_a_plan_that_raises_its_flag_before_the_code_is_everywhere() -> None:
    plan = plan_of("whole")
    stage = next(step for step in plan.steps if step.kind == "stage")
    wrong = replace(plan, steps=(stage, *(step for step in plan.steps if step is not stage)))
    outcome = simulate(setting_of("whole"), (wrong,), Exactly(), 1)
    assert "is moved while users meet the old" in outcome.broken[0]


def test_a_stop_that_forgets_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = SimulatedProcesses.stop

    async def all_but_one(self: SimulatedProcesses, instance: Any, grace_s: float) -> None:
        if instance.number != 3:
            await stop(self, instance, grace_s)

    monkeypatch.setattr(SimulatedProcesses, "stop", all_but_one)
    assert "is still there" in first_broken(calm("blue-green"))


def test_a_journal_that_lost_what_it_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Executor, "_write", without((Started, Finished)))
    monkeypatch.setattr("hitless.app.simulation.run.LONGEST_S", 20.0)
    assert first_broken(calm("grow")) != "nobody noticed"
