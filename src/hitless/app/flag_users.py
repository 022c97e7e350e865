"""What users feel, for the guard of flags: the recorder's seconds, summed over the versions of each service."""

from collections.abc import AsyncIterator

from hitless.flags.ports import UserSecond
from hitless.plan.ports import Clock
from hitless.signals.following import following
from hitless.signals.ports import Second, Ticks


class TickUsers:
    """Implements `hitless.flags.ports.Users`."""

    def __init__(self, ticks: Ticks, clock: Clock) -> None:
        self._ticks, self._clock = ticks, clock

    async def follow(self, since: float, services: tuple[str, ...]) -> AsyncIterator[list[UserSecond]]:
        """Yield what has come since the last look; outlives a recorder that is restarted."""
        async with following(self._ticks, self._clock, since) as follower:
            while True:
                yield [each for second in follower.take() for each in _summed(second, services)]


def _summed(second: Second, services: tuple[str, ...]) -> list[UserSecond]:
    return [
        UserSecond(
            at=second.at,
            service=name,
            users=sum(arm.users for (service, _), arm in second.arms.items() if service == name),
            bad_users=sum(arm.bad_users for (service, _), arm in second.arms.items() if service == name),
            lost=bool(second.lost),
        )
        for name in services
    ]
