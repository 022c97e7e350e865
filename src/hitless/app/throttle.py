"""Lets a backfill go on only as fast as users do not feel it, by the gateway's own p99."""

from collections import Counter
from collections.abc import Sequence

from hitless.app.recent_ticks import recent_ticks
from hitless.plan.ports import Clock
from hitless.signals.ports import Second, Ticks
from hitless.verdict import EDGES

BEFORE_S = 30.0  # before a backfill began: what users felt without it
NOW_S = 6.0  # what users feel now: the seconds since then that are closed
LOOK_S = 1.0  # between two looks; batches in between go by the last one
WORSE = 2.0  # times the p99 of before
SLACK_MS = 20.0  # and at least this much more: below, nobody notices
ENOUGH = 20  # requests, to speak of a p99
PAUSE_S = 0.1
BLIND_PAUSE_S = 0.05  # where nobody counts what users feel
LONGEST_S = 5.0  # a batch waits no longer: it goes on slowly, it never stops
IDLE_S = 10.0  # without a batch: the next one belongs to another backfill


class UsersFirst:
    """Waits before a batch while users feel the ones before it."""

    def __init__(self, ticks: Ticks, clock: Clock) -> None:
        self._ticks, self._clock = ticks, clock
        self._asked_at = self._looked_at = -IDLE_S
        self._before_ms: float | None = None
        self._felt = False
        self._blind = False

    async def __call__(self) -> None:
        """Return when the next batch may run, after 5 s at the latest."""
        began = self._clock.now()
        if began - self._asked_at > IDLE_S:
            self._before_ms = p99_ms(await recent_ticks(self._ticks, self._clock, began - BEFORE_S))
        self._asked_at = began
        while await self._is_felt() and self._clock.now() - began < LONGEST_S:
            await self._clock.sleep(PAUSE_S)
        if self._blind:
            await self._clock.sleep(BLIND_PAUSE_S)

    async def _is_felt(self) -> bool:
        now = self._clock.now()
        if now - self._looked_at >= LOOK_S:
            self._looked_at = now
            seconds = await recent_ticks(self._ticks, self._clock, now - NOW_S)
            self._blind = not seconds or all(second.lost for second in seconds)
            self._felt = worse(self._before_ms, p99_ms(seconds))
        return self._felt


def worse(before_ms: float | None, now_ms: float | None) -> bool:
    """Tell whether users feel it; where too few came to say so, nobody is disturbed."""
    if before_ms is None or now_ms is None:
        return False
    return now_ms > max(before_ms * WORSE, before_ms + SLACK_MS)


def p99_ms(seconds: Sequence[Second]) -> float | None:
    """Return the p99 of all requests of some seconds, at the upper edge of its bucket; None for too few."""
    counts: Counter[int] = Counter()
    for second in seconds:
        for arm in second.arms.values():
            counts.update(arm.latency)
    total = sum(counts.values())
    if total < ENOUGH:
        return None
    below = 0
    for bucket in sorted(counts):
        below += counts[bucket]
        if below >= 0.99 * total:
            return EDGES[min(bucket, len(EDGES) - 1)]
    return None
