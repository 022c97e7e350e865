"""Real time. The one place that reads the clock for decisions."""

import asyncio
import time


class SystemClock:
    """The `Clock` port of hitless.plan in real time."""

    def now(self) -> float:
        """Return seconds since the epoch."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)
