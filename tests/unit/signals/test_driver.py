"""Watching in virtual time, against a source that breaks in every way."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from hitless.app.simulation.clock import EPOCH, VirtualClock, run_virtually
from hitless.kit.units import EVERYBODY, Share
from hitless.plan.instances import InstanceId
from hitless.plan.plan import Plan
from hitless.plan.ports import Moment, StepFailed
from hitless.signals.driver import HeldEvidence, SignalsDriver
from hitless.signals.ports import ArmCount, Second
from hitless.signals.steps import Watch

BEGIN = int(EPOCH)
STEP = Watch(service="orders", baseline="a", canary="b", share=Share(500), bake_s=10, no_evidence_s=60)
GOOD = ArmCount(requests=50, users=50)
BROKEN = ArmCount(requests=50, failed=34, users=50, bad_users=34)
B1 = InstanceId.parse("orders-b1")


def healthy(at: int) -> Second:
    return Second(at=at, arms={("orders", "a"): GOOD, ("orders", "b"): GOOD})


def silent(at: int) -> Second:
    return Second(at=at)


def broken_from(begin: int) -> Callable[[int], Second]:
    return lambda at: Second(at=at, arms={("orders", "a"): GOOD, ("orders", "b"): BROKEN if at >= begin else GOOD})


class World:
    """Users, a recorder that remembers, and the shims."""

    def __init__(self, users: Callable[[int], Second], *, away: tuple[float, float] = (0, 0)) -> None:
        self.clock = VirtualClock()
        self.users = users
        self.away = away  # no recorder between these
        self.trouble: OSError = ConnectionRefusedError("nobody listens")
        self.follows = 0
        self.crashes_at: list[float] = []
        self.shims_away: tuple[float, float] = (0, 0)  # nobody can say how often instances ended

    async def follow(self, since: float) -> AsyncIterator[Second]:
        self.follows += 1
        at = int(-(-since // 1))
        while True:
            if self.away[0] <= self.clock.now() < self.away[1]:
                raise self.trouble
            if self.clock.now() >= at + 2:
                yield self.users(at)
                at += 1
            else:
                await self.clock.sleep(0.1)

    async def restarts(self) -> Mapping[InstanceId, int]:
        if self.shims_away[0] <= self.clock.now() < self.shims_away[1]:
            raise PermissionError("the folder of the shims cannot be read")
        return {B1: sum(when <= self.clock.now() for when in self.crashes_at)}

    @property
    def driver(self) -> SignalsDriver:
        return SignalsDriver(self, self, self.clock)


class Notes(list[dict[str, object]]):
    async def note(self, remark: dict[str, object]) -> None:
        self.append(remark)

    def moment(self, started_at: float = EPOCH) -> Moment:
        return Moment(run="r1", position=3, started_at=started_at, note=self.note)


def watch(world: World, step: Watch = STEP, started_at: float = EPOCH) -> tuple[str, float, Notes]:
    """Watch to the end; return how it ended, after how many seconds, and what was noted."""
    notes = Notes()

    async def main() -> tuple[str, float]:
        try:
            await world.driver.do(step, notes.moment(started_at))
        except StepFailed as failure:
            return failure.code, world.clock.now() - EPOCH
        return "on", world.clock.now() - EPOCH

    ended, after_s = run_virtually(main())
    return ended, after_s, notes


def plan(*steps: Watch) -> Plan:
    return Plan(change="c", why="", source="", claims=("orders",), steps=steps)


def alarmed(world: World, the_plan: Plan, within_s: float = 120) -> tuple[str, float] | None:
    async def main() -> tuple[str, float] | None:
        try:
            async with asyncio.timeout(within_s):
                failure = await world.driver.harm(the_plan)
        except TimeoutError:
            return None
        return failure.code, world.clock.now() - EPOCH

    return run_virtually(main())


def test_a_healthy_version_goes_on_after_its_bake_and_the_numbers_are_noted() -> None:
    ended, after_s, notes = watch(World(healthy))
    assert ended == "on"
    assert 10 <= after_s < 14
    assert [note["verdict"] for note in notes] == ["undecided"]


def test_the_alarm_leaves_a_version_to_its_watch_until_the_verdict_is_written() -> None:
    world, notes = World(healthy), Notes()
    world.crashes_at = [EPOCH + 3, EPOCH + 4]

    async def slowly(remark: dict[str, object]) -> None:
        await world.clock.sleep(5)  # a busy machine
        await notes.note(remark)

    async def main() -> bool:
        driver = world.driver
        alarm = asyncio.ensure_future(driver.harm(plan(STEP)))
        with pytest.raises(StepFailed, match="ended 2 times"):
            await driver.do(STEP, replace(notes.moment(), note=slowly))
        early = alarm.done()
        alarm.cancel()
        with suppress(asyncio.CancelledError):
            await alarm
        return early

    assert not run_virtually(main())
    assert [(note["verdict"], note["guard"]) for note in notes] == [("worse", "crash")]


def test_a_long_watch_is_told_of_after_pauses_that_double() -> None:
    ended, _, notes = watch(World(healthy), replace(STEP, bake_s=120))
    assert ended == "on"
    seen: list[int] = [note["seconds"]["seen"] for note in notes]  # type: ignore[index]
    assert seen == pytest.approx([14, 44, 104, 120], abs=2)
    assert all(note["verdict"] == "undecided" and "e_value" in note for note in notes)


def test_what_a_watch_knows_by_now_is_there_between_its_verdicts_and_once_nobody_watches_any_more() -> None:
    world, notes, step = World(healthy), Notes(), replace(STEP, bake_s=600)

    async def main() -> list[dict[str, Any] | None]:
        driver = world.driver
        known = [await driver.known(step, notes.moment())]
        watching = asyncio.ensure_future(driver.do(step, notes.moment()))
        for _ in range(2):
            await world.clock.sleep(100)
            known.append(await driver.known(step, notes.moment()))
        watching.cancel()  # the controller is killed
        with suppress(asyncio.CancelledError):
            await watching
        return [*known, await driver.known(step, notes.moment()), await driver.known(step, notes.moment(EPOCH + 500))]

    nothing, first, second, after, another_step = run_virtually(main())
    assert nothing is another_step is None
    assert first is not None
    assert second is not None
    assert second == after
    assert first["seconds"]["seen"] == pytest.approx(97, abs=3)
    assert second["seconds"]["seen"] == pytest.approx(197, abs=3)
    assert second["until"] == pytest.approx(EPOCH + 197, abs=3)
    assert second["verdict"] == "undecided"
    assert second["e_value"] <= 1
    assert len(notes) == 3  # after 15, 45 and 105 s: not by those who look


def test_a_version_that_breaks_in_the_midst_of_a_watch_is_gone_within_seconds() -> None:
    ended, after_s, notes = watch(World(broken_from(BEGIN + 5)))
    assert ended == "canary-worse"
    assert after_s < 11
    assert notes[-1]["guard"] == "errors"


def test_a_version_that_crashes_twice_goes_back() -> None:
    world = World(healthy)
    world.crashes_at = [EPOCH + 2, EPOCH + 3]
    ended, after_s, _ = watch(world)
    assert (ended, after_s < 4) == ("canary-crashes", True)


def test_seconds_in_which_nobody_can_say_how_often_instances_ended_are_no_evidence() -> None:
    world = World(healthy)
    world.shims_away = (EPOCH + 3, EPOCH + 8)
    world.crashes_at = [EPOCH + 4]
    ended, after_s, notes = watch(world)
    assert ended == "on"
    assert 14 <= after_s < 20
    assert notes[-1]["seconds"]["lost"] >= 4  # type: ignore[index]
    assert notes[-1]["restarts"] == 1


def test_restarts_that_can_never_be_counted_take_the_step_back() -> None:
    world = World(healthy)
    world.shims_away = (EPOCH, EPOCH + 3600)
    ended, after_s, notes = watch(world)
    assert (ended, 60 <= after_s < 62) == ("no-evidence", True)
    assert any("shims cannot be read" in str(note.get("source")) for note in notes)


def test_with_no_traffic_it_holds_says_so_once_and_goes_back() -> None:
    ended, after_s, notes = watch(World(silent))
    assert (ended, round(after_s)) == ("no-evidence", 60)
    assert len(notes) == 2
    assert "1 more user in the canary (about 20 requests)" in str(notes[0]["reason"])


def test_with_no_traffic_and_evidence_none_it_goes_on() -> None:
    assert watch(World(silent), replace(STEP, evidence="none"))[0] == "on"


def test_at_100_percent_it_goes_on_after_the_bake() -> None:
    ended, _, notes = watch(World(silent), replace(STEP, share=EVERYBODY))
    assert ended == "on"
    assert notes[-1]["verdict"] == "no baseline"


def test_a_recorder_that_is_away_for_a_while_costs_no_second() -> None:
    world = World(healthy, away=(EPOCH + 3, EPOCH + 8))
    ended, after_s, _ = watch(world)
    assert ended == "on"
    assert after_s < 16
    assert 2 <= world.follows <= 12  # it goes back after growing pauses


def test_a_recorder_that_never_comes_back_is_no_evidence() -> None:
    ended, after_s, notes = watch(World(healthy, away=(EPOCH + 3, EPOCH + 10_000)), replace(STEP, share=EVERYBODY))
    assert ended == "no-evidence"
    assert after_s >= 60
    assert notes[-1]["verdict"] == "no evidence"


def test_a_hold_because_of_the_source_names_its_trouble() -> None:
    _, _, notes = watch(World(healthy, away=(EPOCH, EPOCH + 10_000)))
    assert notes[0]["source"] == "the recorder does not answer: nobody listens"


def test_a_recorder_that_is_too_slow_is_named_too() -> None:
    """All that was said was: TimeoutError."""
    world = World(healthy, away=(EPOCH + 3, EPOCH + 10_000))
    world.trouble = TimeoutError()
    _, _, notes = watch(world)
    assert notes[0]["source"] == "the recorder does not answer in time"


def test_a_new_controller_goes_on_with_the_watch_from_the_memory_of_the_recorder() -> None:
    ended, after_s, _ = watch(World(healthy), started_at=EPOCH - 300)
    assert ended == "on"
    assert after_s < 1


def test_a_new_controller_finds_in_the_memory_that_the_version_had_failed() -> None:
    assert watch(World(broken_from(BEGIN - 200)), started_at=EPOCH - 300)[0] == "canary-fails"


def test_a_killed_controller_goes_on_with_the_test_though_the_recorder_has_forgotten() -> None:
    """The evidence against the new version was seen before the kill; what is told again after it is lost seconds."""

    def users(at: int) -> Second:
        bad = ArmCount(requests=50, failed=1, users=50, bad_users=1)
        return Second(at=at, arms={("orders", "a"): GOOD, ("orders", "b"): bad if at < BEGIN + 4 else GOOD})

    world, notes, evidence = World(users), Notes(), HeldEvidence()
    step = replace(STEP, bake_s=100, no_evidence_s=600)

    async def main() -> dict[str, object]:
        first = asyncio.ensure_future(SignalsDriver(world, world, world.clock, evidence).do(step, notes.moment()))
        await asyncio.sleep(30)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        world.users = lambda at: Second(at=at, lost=1) if at < BEGIN + 25 else users(at)
        await SignalsDriver(world, world, world.clock, evidence).do(step, notes.moment())
        return notes[-1]

    last = run_virtually(main())
    assert last["compared"]["canary"]["bad_users"] == 4  # type: ignore[index]
    assert last["seconds"] == {"seen": 100, "lost": 0}


def test_a_controller_of_another_release_that_cannot_read_the_evidence_counts_again_and_says_so() -> None:
    world, notes, evidence = World(healthy), Notes(), HeldEvidence()

    async def main() -> None:
        await evidence.keep("r1", "orders", b"of another release")
        await SignalsDriver(world, world, world.clock, evidence).do(STEP, notes.moment())

    run_virtually(main())
    assert "cannot be read" in str(notes[0]["text"])
    assert notes[-1]["verdict"] == "undecided"


def test_the_alarm_rings_outside_of_watch_steps_and_names_what_it_saw() -> None:
    code, after_s = alarmed(World(broken_from(BEGIN + 20)), plan(STEP)) or ("", 0.0)
    assert code == "canary-fails"
    assert 20 < after_s < 26


def test_the_alarm_rings_for_crashes() -> None:
    world = World(healthy)
    world.crashes_at = [EPOCH + 30, EPOCH + 31]
    code, after_s = alarmed(world, plan(STEP)) or ("", 0.0)
    assert (code, after_s < 32) == ("canary-crashes", True)


@pytest.mark.parametrize(
    "other",
    [replace(STEP, service="web"), replace(STEP, canary="a", baseline="b"), None],
    ids=["service", "slot", "none"],
)
def test_the_alarm_never_rings_for_what_is_not_the_new_version_of_its_plan(other: Watch | None) -> None:
    assert alarmed(World(broken_from(BEGIN)), plan(*([other] if other else []))) is None


def test_the_alarm_does_not_ring_for_what_was_before_it_was_set() -> None:
    assert alarmed(World(lambda at: broken_from(0)(at) if at < BEGIN else healthy(at)), plan(STEP)) is None


def test_while_a_step_watches_it_is_the_step_that_goes_back_and_notes_why() -> None:
    world, notes = World(broken_from(BEGIN + 3)), Notes()

    async def main() -> bool:
        driver = world.driver
        alarm = asyncio.ensure_future(driver.harm(plan(STEP)))
        with pytest.raises(StepFailed):
            await driver.do(STEP, notes.moment())
        rang_first = alarm.done()
        alarm.cancel()
        return rang_first

    assert run_virtually(main()) is False
    assert notes[-1]["verdict"] == "worse"


def test_a_watch_that_is_cancelled_leaves_nothing_behind() -> None:
    async def main() -> int:
        watching = asyncio.ensure_future(World(silent).driver.do(STEP, Notes().moment()))
        await asyncio.sleep(5)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        return len(asyncio.all_tasks())

    assert run_virtually(main()) == 1


def test_what_breaks_other_than_the_source_is_not_swallowed() -> None:
    def nonsense(at: int) -> Second:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        watch(World(nonsense))


def test_a_step_of_another_room_is_refused() -> None:
    async def main() -> Any:
        await SignalsDriver(World(silent), World(silent), VirtualClock()).do(_stranger(), Notes().moment())

    with pytest.raises(StepFailed):
        run_virtually(_typed(main()))


def _stranger() -> Any:
    class Stranger:
        kind = "stranger"

        def describe(self) -> str:
            return "do something else"

    return Stranger()


def _typed(main: Coroutine[Any, Any, Any]) -> Coroutine[Any, Any, None]:
    return main


class Heard(list[tuple[str, str, str, float]]):
    """A recorder that hears which tests begin and end, and is away between two moments."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock

    async def begin(self, service: str, run: str, conversion: object) -> None:
        self.append(("begin", service, run, self.clock.now() - EPOCH))

    async def end(self, service: str, run: str) -> None:
        self.append(("end", service, run, self.clock.now() - EPOCH))


@pytest.mark.parametrize(
    ("users", "step", "ends"),
    [
        (healthy, STEP, False),  # a further step of the run may go on with it
        (broken_from(BEGIN + 5), STEP, True),
        (healthy, replace(STEP, share=EVERYBODY), True),
    ],
)
def test_a_test_is_said_again_while_it_is_watched_and_ends_with_what_goes_back_or_meets_everybody(
    users: Callable[[int], Second], step: Watch, ends: bool
) -> None:
    world = World(users)
    heard = Heard(world.clock)
    driver = SignalsDriver(world, world, world.clock, tests=heard)

    async def main() -> None:
        with suppress(StepFailed):
            await driver.do(step, Notes().moment())

    run_virtually(main())
    begun = [at for what, service, run, at in heard if (what, service, run) == ("begin", "orders", "r1")]
    assert ([what for what, *_ in heard].count("end") == 1) == ends
    assert not begun if not step.compares else begun[0] == 0.0
    assert all(later - earlier < 6.0 for earlier, later in pairwise(begun))
    assert heard[-1][0] == ("end" if ends else "begin")
