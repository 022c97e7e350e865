"""The counts of the last seconds, as far as they can be had at once."""

import asyncio
from contextlib import suppress

from hitless.plan.ports import Clock
from hitless.signals.ports import Second, Ticks

CLOSED_S = (
    3.2  # what began so long ago is closed, and a second began since: 1 s of it, 1 s for late records, 0.1 s to look
)
PATIENCE_S = 1.0


async def recent_ticks(ticks: Ticks, clock: Clock, since: float) -> list[Second]:
    """Return the closed seconds from `since` on; waits for none that is open, and for the others 1 s at most."""
    seconds: list[Second] = []
    until = clock.now() - CLOSED_S
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            async for second in ticks.follow(since):
                seconds.append(second)
                if second.at >= until:
                    break
    return seconds
