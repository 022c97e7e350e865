"""What users feel, for the guard of flags: the recorder's seconds, summed over the versions of each service.

A flag is compared with the time before, so what a new version does that another run ships meanwhile would look like its
fault. Users who meet such a version are left out, at every service that they touch: its own guard looks after them.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress

from hitless.flags.ports import UserSecond
from hitless.kit.errors import HitlessError
from hitless.plan.instances import Slot, other
from hitless.plan.ports import Clock
from hitless.signals.following import following
from hitless.signals.harm import NOTHING
from hitless.signals.ports import Second, Ticks
from hitless.traffic.steps import Routing

Routings = Callable[[], Awaitable[Mapping[str, Routing]]]
Exposed = dict[tuple[str, Slot], float]  # a version that some users meet -> until when, as far as is known


async def nobody() -> Mapping[str, Routing]:
    """For a world in which no other run ships a version."""
    return {}


class TickUsers:
    """Implements `hitless.flags.ports.Users`. `routings`: who meets which version now."""

    def __init__(self, ticks: Ticks, clock: Clock, routings: Routings = nobody) -> None:
        self._ticks, self._clock, self._routings = ticks, clock, routings

    async def follow(self, since: float, services: tuple[str, ...]) -> AsyncIterator[list[UserSecond]]:
        """Yield what has come since the last look; outlives a recorder that is restarted."""
        exposed: Exposed = {}
        async with following(self._ticks, self._clock, since) as follower:
            while True:
                with suppress(HitlessError, OSError):  # a gateway that is away shows nobody a new version
                    for name, routing in (await self._routings()).items():
                        if routing.serves(other(routing.baseline)):
                            exposed[name, other(routing.baseline)] = self._clock.now()
                yield [each for second in follower.take() for each in _summed(second, services, exposed)]


def _summed(second: Second, services: tuple[str, ...], exposed: Exposed) -> list[UserSecond]:
    out = {version for version, until in exposed.items() if second.at <= until}
    counts = {name: _at(second, name, out) for name in services}
    return [
        UserSecond(at=second.at, service=name, users=users, bad_users=bad, lost=bool(second.lost))
        for name, (users, bad) in counts.items()
    ]


def _at(second: Second, service: str, out: set[tuple[str, Slot]]) -> tuple[int, int]:
    """Return users and bad users of a service who meet none of the versions in `out`, there or elsewhere."""
    arms = [arm for (name, slot), arm in second.arms.items() if name == service and (name, slot) not in out]
    users, bad = sum(arm.users for arm in arms), sum(arm.bad_users for arm in arms)
    for changed, slot in out:
        arm = second.elsewhere.get((changed, slot, service), NOTHING)
        one_in = second.one_in.get(changed, 1)
        users, bad = users - arm.users * one_in, bad - arm.bad_users * one_in
    users = max(0, users)
    return users, min(max(0, bad), users)
