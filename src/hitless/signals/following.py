"""Follows the source of seconds through its failures: goes back to it after growing pauses, and misses nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from hitless.plan.ports import Clock
from hitless.signals.ports import Second, Ticks

WAITING_LIMIT = 512  # seconds that were read and not yet looked at
FIRST_PAUSE_S = 0.1  # doubles up to the longest
LONGEST_PAUSE_S = 5.0
UP_TO_DATE_S = 4.0  # behind the clock at most, for one who knows what happens now
CATCH_UP_S = 5.0  # for the source to tell what it remembers
CLOSES_S = 2.5  # after a second began, its count is out


class Follower:
    """The seconds that have come in."""

    def __init__(self, ticks: Ticks, clock: Clock, since: float) -> None:
        self._ticks, self._clock = ticks, clock
        self._next = since
        self._begun_at = clock.now()
        self._waiting: asyncio.Queue[Second] = asyncio.Queue(maxsize=WAITING_LIMIT)
        self._taken_until = since
        self.trouble = ""  # why the source is not there; empty: it is
        self.reading = asyncio.ensure_future(self._read())

    def take(self) -> list[Second]:
        """Return what has come since the last call, in order. Raises what broke the reading, other than its source."""
        if self.reading.done():
            self.reading.result()
        seconds = [self._waiting.get_nowait() for _ in range(self._waiting.qsize())]
        if seconds:
            self._taken_until = seconds[-1].at + 1.0
        return seconds

    @property
    def settled(self) -> bool:
        """Whether what was taken is all that can be known now: up to date, or the source had its time."""
        now = self._clock.now()
        knows_the_past = self._taken_until >= self._begun_at - CLOSES_S
        return (knows_the_past and now - self._taken_until <= UP_TO_DATE_S) or now - self._begun_at >= CATCH_UP_S

    async def _read(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                async for second in self._ticks.follow(self._next):
                    await self._waiting.put(second)
                    self._next = second.at + 1.0
                    self.trouble, pause_s = "", FIRST_PAUSE_S
                self.trouble = "the recorder ended"
            except TimeoutError:
                self.trouble = "the recorder does not answer in time"
            except OSError as error:
                self.trouble = f"the recorder does not answer: {error.strerror or str(error) or type(error).__name__}"
            await self._clock.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)


@asynccontextmanager
async def following(ticks: Ticks, clock: Clock, since: float) -> AsyncIterator[Follower]:
    """Follow for as long as the context lasts."""
    follower = Follower(ticks, clock, since)
    try:
        yield follower
    finally:
        follower.reading.cancel()
        with suppress(asyncio.CancelledError):
            await follower.reading
