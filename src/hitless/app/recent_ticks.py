"""The counts of the last seconds, as far as they can be had at once."""

import asyncio
from contextlib import suppress

from hitless.plan.ports import Clock
from hitless.signals.ports import Second, Ticks

SECONDS_CLOSE_S = 2.5  # a second is counted once its late records are in
PATIENCE_S = 1.0


async def recent_ticks(ticks: Ticks, clock: Clock, since: float, until_s: float = SECONDS_CLOSE_S) -> list[Second]:
    """Return the seconds from `since` until `until_s` ago; what cannot be had within a second is left out."""
    seconds: list[Second] = []
    until = clock.now() - until_s
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            async for second in ticks.follow(since):
                seconds.append(second)
                if second.at >= until:
                    break
    return seconds
