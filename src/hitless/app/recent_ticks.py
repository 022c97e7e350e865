"""The counts of the last seconds, as far as they can be had at once."""

import asyncio
from contextlib import suppress

from hitless.plan.ports import Clock
from hitless.signals.ports import Second, Ticks

CLOSED_S = (
    3.2  # what began so long ago is closed, and a second began since: 1 s of it, 1 s for late records, 0.1 s to look
)
PATIENCE_S = 1.0


async def recent_ticks(ticks: Ticks, clock: Clock, since: float, patience_s: float = PATIENCE_S) -> list[Second]:
    """Return the closed seconds from `since` on; waits for none that is open, and for all `patience_s` at most."""
    seconds: list[Second] = []
    until = clock.now() - CLOSED_S
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(patience_s):
            async for second in ticks.follow(since):
                seconds.append(second)
                if second.at >= until:
                    break
    return seconds
