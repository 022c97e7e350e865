"""A backfill waits while users feel it, and never for ever."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from hitless.app.throttle import LONGEST_S, UsersFirst, p99_ms, worse
from hitless.signals.ports import ArmCount, Second

FAST, SLOW = {10: 100}, {10: 90, 60: 10}  # bucket -> requests: 2.6 ms, and one in ten at 305 ms


@dataclass
class Minutes:
    """A virtual clock, and what users felt in each of its seconds."""

    felt: Mapping[int, Mapping[int, int]]  # from this second on
    at: float = 1000.0
    slept: list[float] = field(default_factory=list)
    lost: int = 0

    def now(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds
        self.slept.append(seconds)

    async def follow(self, since: float) -> AsyncIterator[Second]:
        for second in range(int(since), int(self.at)):
            latency = next((each for begin, each in sorted(self.felt.items(), reverse=True) if second >= begin), {})
            yield Second(at=second, arms={("orders", "a"): ArmCount(latency=latency)}, lost=self.lost)


async def batches(world: Minutes, count: int) -> float:
    """How long some batches of 50 ms waited altogether."""
    throttle, waited = UsersFirst(world, world), 0.0
    for _ in range(count):
        before = world.at
        await throttle()
        waited += world.at - before
        world.at += 0.05
    return waited


async def test_nothing_waits_while_users_feel_nothing() -> None:
    assert await batches(Minutes({0: FAST}), 200) == 0


async def test_batches_wait_while_users_feel_them_and_go_on_afterwards() -> None:
    world = Minutes({0: FAST, 1004: SLOW, 1010: FAST})
    waited = await batches(world, 200)
    assert 3 < waited < 12
    assert world.at > 1015


async def test_a_batch_waits_for_a_bounded_time_whatever_users_feel() -> None:
    world = Minutes({0: FAST, 1000: SLOW})
    waited = await batches(world, 100)
    assert waited <= 100 * (LONGEST_S + 0.2)
    assert waited > 100


async def test_with_nobody_there_it_runs_at_full_speed_and_blind_it_runs_gently() -> None:
    assert await batches(Minutes({0: {}}), 20) == 0
    assert 0.9 < await batches(Minutes({0: FAST}, lost=1), 20) < 1.1


def test_p99_needs_enough_requests_and_is_compared_with_slack() -> None:
    assert p99_ms([Second(at=1, arms={("o", "a"): ArmCount(latency={3: 19})})]) is None
    assert p99_ms([Second(at=1, arms={("o", "a"): ArmCount(latency={0: 99, 24: 1})})]) == 1.0
    assert not worse(5.0, 24.0)
    assert worse(5.0, 26.0)
    assert not worse(100.0, 199.0)
    assert worse(100.0, 201.0)
    assert not worse(None, 500.0)
