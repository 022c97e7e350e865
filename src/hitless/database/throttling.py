"""When the next batch of a backfill may run: never at the cost of who uses the database. Decisions are pure.

Looked at: the application's own p99, the lag of replicas, WAL written a second, transactions that are open for long
(while one is, replaced rows cannot be cleaned up and the table only grows).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from hitless.database.postgres import Target
from hitless.database.queries import PRESSURE

LOOK_EVERY_S = 1.0
PAUSE_MIN_S, PAUSE_MAX_S = 0.05, 2.0
WAITED_MAX_S = 3600.0  # in all; then the backfill goes on at its slowest pace, and says so
P99_FLOOR_S = 0.02  # below it nobody feels a doubling
ALONE_S, BESIDE_OTHERS_S = 0.05, 0.002  # of one batch: whoever commits waits until its WAL is on disk, too

P99 = Callable[[], float | None]  # seconds, of the application's requests just now; None: nothing is known


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Where a backfill gives way."""

    p99_factor: float = 2.0  # of what it was when the backfill began
    lag_s: float = 5.0  # of the slowest replica
    wal_bytes_s: float | None = None
    oldest_s: float = 900.0  # of a transaction of somebody else


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """What was found at one moment."""

    p99_s: float | None = None
    usual_p99_s: float | None = None
    lag_s: float = 0.0
    wal_bytes_s: float = 0.0
    oldest_s: float = 0.0
    others: bool = False  # somebody else has been at work in the last second


def batch_s(found: Readings) -> float:
    """Return how long the next batch may take."""
    return BESIDE_OTHERS_S if found.others else ALONE_S


def rest_s(found: Readings, took_s: float) -> float:
    """Return how long to rest after a batch that took `took_s`: beside others as long again, so that half is theirs."""
    return min(PAUSE_MAX_S, took_s) if found.others else 0.0


def reason(found: Readings, limits: Limits) -> str | None:
    """Say why the next batch should wait; None: it may run."""
    if found.p99_s is not None and found.usual_p99_s is not None:
        most = max(found.usual_p99_s, P99_FLOOR_S) * limits.p99_factor
        if found.p99_s > most:
            return f"p99 of the application is {found.p99_s * 1000:.0f} ms, more than {most * 1000:.0f} ms"
    if found.lag_s > limits.lag_s:
        return f"a replica is {found.lag_s:.1f} s behind, more than {limits.lag_s:g} s"
    if limits.wal_bytes_s is not None and found.wal_bytes_s > limits.wal_bytes_s:
        return f"{found.wal_bytes_s / 1e6:.1f} MB of WAL a second, more than {limits.wal_bytes_s / 1e6:g}"
    if found.oldest_s > limits.oldest_s:
        return f"a transaction has been open for {found.oldest_s:.0f} s, longer than {limits.oldest_s:g} s"
    return None


def next_pause_s(last_s: float, *, waits: bool) -> float:
    """Return how long to pause before looking again: longer while it does not help, less once it does."""
    return min(PAUSE_MAX_S, max(PAUSE_MIN_S, last_s * 2)) if waits else last_s / 2


class Pace:
    """How fast a table is read through: beside others there is a rest after each range, as long as it took."""

    def __init__(self, target: Target) -> None:
        self._target, self._found = target, Readings()
        self._looked_at, self._let_at = 0.0, time.monotonic()

    async def beside_others(self) -> bool:
        """Rest after the last range; returns whether somebody else is at work, as seen about once a second."""
        await asyncio.sleep(rest_s(self._found, time.monotonic() - self._let_at))
        if time.monotonic() - self._looked_at >= LOOK_EVERY_S:
            (row,) = await self._target.rows(PRESSURE)
            self._looked_at, self._found = time.monotonic(), Readings(others=row["others"])
        self._let_at = time.monotonic()
        return self._found.others


class Throttler:
    """Lets batches through; looks at the database about once a second."""

    def __init__(
        self,
        target: Target,
        note: Callable[[dict[str, object]], Awaitable[None]],
        p99: P99 | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._target, self._note, self._p99, self._limits = target, note, p99, limits or Limits()
        self._usual = p99() if p99 is not None else None
        self._looked_at = self._wal = self._waited_s = self._pause_s = 0.0
        self._found = Readings()
        self._said = ""
        self._let_at = time.monotonic()  # when the last batch was let through

    async def __call__(self) -> float:
        """Return when the next batch may run: how many seconds it may take."""
        await asyncio.sleep(rest_s(self._found, time.monotonic() - self._let_at))
        while True:
            await self._look()
            why = reason(self._found, self._limits)
            self._pause_s = next_pause_s(self._pause_s, waits=why is not None)
            if why is None:
                break
            if why.split(" ")[0] != self._said.split(" ")[0]:
                await self._note({"waits": why})
            self._said = why
            await asyncio.sleep(self._pause_s)
            self._waited_s += self._pause_s
            if self._waited_s > WAITED_MAX_S:
                break
        self._let_at = time.monotonic()
        return batch_s(self._found)

    async def _look(self) -> None:
        now = time.monotonic()
        p99_s = self._p99() if self._p99 is not None else None
        if self._usual is None:
            self._usual = p99_s
        found = replace(self._found, p99_s=p99_s, usual_p99_s=self._usual)
        if now - self._looked_at >= LOOK_EVERY_S:
            (row,) = await self._target.rows(PRESSURE)
            rate = (row["wal_bytes"] - self._wal) / (now - self._looked_at) if self._wal else 0.0
            self._looked_at, self._wal = now, row.pop("wal_bytes")
            found = replace(found, wal_bytes_s=rate, **row)
        self._found = found
