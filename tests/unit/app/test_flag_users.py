"""A flag and a version under way at once: each is judged by those whom the other does not touch."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest

from hitless.app.flag_users import TickUsers
from hitless.app.simulation.clock import EPOCH, VirtualClock, run_virtually
from hitless.flags.driver import FlagsDriver
from hitless.flags.steps import Bake
from hitless.kit.units import Share
from hitless.plan.ports import Moment, StepFailed
from hitless.signals.ports import ArmCount, Second
from hitless.traffic.steps import Routing

BEGIN = int(EPOCH)
STEP = Bake(flag="new-checkout", stage="5%", services=("web", "orders"), bake_s=30, alpha=0.01)
CANARY = Routing(service="orders", baseline="a", share=Share(3000), version_a="1.0", version_b="1.3")
BACK = Routing(service="orders", baseline="a", version_a="1.0", version_b="1.3")
Users = Callable[[int], Second]


def second(at: int, *, old_bad: int = 0, new_bad: int = 0, one_in: int = 1) -> Second:
    """In each service 70 users of the old orders and 30 of the new one, who fail at web as well as at orders."""
    new = ArmCount(requests=30, users=30, bad_users=new_bad)
    old = ArmCount(requests=70, users=70, bad_users=old_bad)
    sampled = ArmCount(requests=30 // one_in, users=30 // one_in, bad_users=new_bad // one_in)
    return Second(
        at=at,
        arms={
            ("orders", "a"): old,
            ("orders", "b"): new,
            ("web", "a"): ArmCount(requests=100, users=100, bad_users=old_bad + new_bad),
        },
        elsewhere={("orders", "a", "web"): old, ("orders", "b", "web"): sampled},
        one_in={"orders": one_in} if one_in > 1 else {},
    )


class World:
    """A recorder, and a gateway whose routing changes at a time."""

    def __init__(self, users: Users, routing: Callable[[float], Routing]) -> None:
        self.clock, self._users, self._routing = VirtualClock(), users, routing

    async def follow(self, since: float) -> AsyncIterator[Second]:
        at = int(since)
        while True:
            if self.clock.now() >= at + 2:
                yield self._users(at)
                at += 1
            else:
                await self.clock.sleep(0.1)

    async def routings(self) -> Mapping[str, Routing]:
        return {"orders": self._routing(self.clock.now())}


def bake(users: Users, routing: Callable[[float], Routing]) -> str:
    """Watch a flag to the end of its stage; return how that ended."""
    world = World(users, routing)
    driver: Any = FlagsDriver(None, TickUsers(world, world.clock, world.routings), world.clock)  # type: ignore[arg-type]

    async def note(_: dict[str, object]) -> None:
        """Nobody reads."""

    async def main() -> str:
        try:
            await driver.do(STEP, Moment(run="r", position=1, started_at=EPOCH, note=note))
        except StepFailed as failure:
            return failure.code
        return "on"

    return run_virtually(main())


@pytest.mark.parametrize("one_in", [1, 2])
def test_a_flag_is_not_taken_back_for_what_a_new_version_of_another_run_does_to_its_users_anywhere(one_in: int) -> None:
    """The version breaks in the midst of the bake and is taken back 4 s later; the gateway's log comes behind."""

    def users(at: int) -> Second:
        return second(at, new_bad=18 if BEGIN + 8 <= at < BEGIN + 12 else 0, one_in=one_in)

    assert bake(users, lambda now: CANARY if now < EPOCH + 12 else BACK) == "on"


def test_a_flag_that_harms_those_whom_no_new_version_meets_is_taken_back_beside_one() -> None:
    assert bake(lambda at: second(at, old_bad=7 if at >= BEGIN else 0), lambda _: CANARY) == "flag-worse"


def test_once_a_version_is_everybody_s_its_users_count_for_a_flag() -> None:
    everybody = Routing(service="orders", baseline="b", version_a="1.0", version_b="1.3")

    def users(at: int) -> Second:
        return second(at, new_bad=9 if at >= BEGIN + 5 else 0)

    assert bake(users, lambda now: CANARY if now < EPOCH + 1 else everybody) == "flag-worse"
