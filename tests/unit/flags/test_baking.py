"""The watch over a raised flag: users of now against users of the time before."""

import random
from typing import Any

import pytest

from hitless.flags.baking import Baking
from hitless.flags.driver import FlagsDriver
from hitless.flags.guard import BeforeAfter
from hitless.flags.ports import UserSecond
from hitless.flags.steps import Bake
from hitless.plan.ports import Moment, StepFailed

STEP = Bake(flag="f", stage="5%", services=("orders",), bake_s=10.0)
BEGIN = 1000.5


def second(at: int, users: int = 50, bad: int = 0, **more: Any) -> UserSecond:
    return UserSecond(at=at, service="orders", users=users, bad_users=bad, **more)


def baked(*seconds: UserSecond, step: Bake = STEP) -> Baking:
    baking = Baking(step, BEGIN)
    for each in seconds:
        baking.count(each)
    return baking


def test_a_stage_ends_after_its_bake_of_seconds_in_which_users_were_seen() -> None:
    seconds = [second(at) for at in range(950, 1011)]
    assert not baked(*seconds[:-1]).done(1011)
    assert baked(*seconds).done(1012)


def test_a_second_with_lost_records_does_not_count() -> None:
    assert not baked(*(second(at, lost=at == 1005) for at in range(950, 1011))).done(1012)


def test_more_failures_than_before_take_the_flag_back() -> None:
    worse = baked(*(second(at, bad=5 if at > BEGIN else 0) for at in range(950, 1006)))
    failure = worse.failure(1006)
    assert failure is not None
    assert failure.code == "flag-worse"
    assert worse.numbers(failure)["verdict"] == "worse"


def test_a_system_that_always_failed_so_often_is_not_worse() -> None:
    assert baked(*(second(at, bad=5) for at in range(950, 1011))).failure(1012) is None


def test_nobody_is_no_evidence_and_goes_back_in_the_end() -> None:
    nobody = baked(*(second(at, users=0) for at in range(950, 1011)))
    assert not nobody.done(1012)
    assert nobody.holds(1014)
    assert nobody.failure(1012) is None
    assert nobody.failure(BEGIN + 600).code == "no-evidence"  # type: ignore[union-attr]


def test_a_run_that_was_held_has_all_its_time_again_once_it_goes_on() -> None:
    baking = Baking(STEP, BEGIN, resumed_at=BEGIN + 5000)
    assert baking.failure(BEGIN + 5599) is None
    assert baking.failure(BEGIN + 5600).code == "no-evidence"  # type: ignore[union-attr]


def test_without_evidence_wanted_the_clock_alone_decides() -> None:
    blind = Bake(flag="f", stage="5%", services=("orders",), bake_s=10.0, evidence="none")
    assert not baked(step=blind).done(1010)
    assert baked(step=blind).done(1011)


def test_a_source_that_falls_silent_ends_the_watch() -> None:
    assert baked(*(second(at) for at in range(950, 1004))).failure(1003 + 600).code == "no-evidence"  # type: ignore[union-attr]


def false_alarms(share: float, runs: int, worse: float = 2.0) -> int:
    """Count runs of ten minutes in which a share that does not change was called worse."""
    alarms = 0
    for seed in range(runs):
        draw = random.Random(seed)
        compared = BeforeAfter(worse=worse)
        counts = [sum(draw.random() < share for _ in range(20)) for _ in range(660)]
        for count in counts[:60]:
            compared.before(20, count)
        alarms += any(compared.since(20, count) for count in counts[60:])
    return alarms


@pytest.mark.parametrize("share", [0.0, 0.002, 0.05])
def test_a_share_that_stays_is_not_called_worse_though_it_is_looked_at_every_second(share: float) -> None:
    assert false_alarms(share, runs=30) <= 1


class World:
    """Users second by second on a virtual clock."""

    def __init__(self, bad_since: float) -> None:
        self.at, self.bad_since = BEGIN, bad_since
        self.notes: list[dict[str, object]] = []

    def now(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds

    async def follow(self, since: float, services: tuple[str, ...]) -> Any:
        upcoming = int(since)
        while True:
            seen = range(upcoming, int(self.at - 2))
            upcoming = max(upcoming, seen.stop)
            yield [second(each, bad=20 if each >= self.bad_since else 0) for each in seen]

    async def note(self, remark: dict[str, object]) -> None:
        self.notes.append(remark)

    async def bake(self) -> float:
        moment = Moment(run="r", position=1, started_at=BEGIN, note=self.note)
        await FlagsDriver(self, self, self).do(STEP, moment)  # type: ignore[arg-type]
        return self.at - BEGIN


async def test_the_driver_bakes_and_writes_down_what_it_saw() -> None:
    world = World(bad_since=1e9)
    assert 10 < await world.bake() < 15
    assert world.notes[-1]["verdict"] == "undecided"


async def test_the_driver_goes_back_within_seconds() -> None:
    world = World(bad_since=1003)
    with pytest.raises(StepFailed, match="met a failure"):
        await world.bake()
    assert world.at - BEGIN < 9
