"""Turns what the gateway logged into counts per second: requests, failures, users and latencies of each version. Pure.

Users are counted, not only requests: a user's first failure counts, and as long as the user stays bad it counts again
only after pauses that double. So one user who always fails proves nothing, and an error that everybody meets is not
forgotten over a long step.
"""

from bisect import bisect_left
from collections.abc import Iterable
from typing import NamedTuple

from hitless.plan.instances import Slot
from hitless.signals.buckets import EDGES
from hitless.signals.ports import ArmCount, Second

LAG_MS = 1000  # a second is closed this long after its end
LATEST_MS = 60_000  # a record that comes later than this is lost
AHEAD_S = 5  # nor is one believed whose end lies further ahead of our clock
STALL_MS = 3000  # who did not look for so long may have missed something
LONGEST_STALL_S = 7200  # seconds before that are left out, not even called lost
ARMS_LIMIT = 512  # services times slots in one second; what is beyond is lost
BAD_USERS_LIMIT = 20_000  # per service; the one who failed longest ago is forgotten first
RECOVERED = 20  # good requests in a row, and a user counts as new
FIRST_PAUSE_MS = 1000
LONGEST_PAUSE_MS = 6 * 3600 * 1000
FORGET_MS = 3600 * 1000  # after the pause


class Observed(NamedTuple):
    """One request as the gateway saw it. A tuple, because ten thousand of them are made in a second."""

    at_ms: int  # its end, in milliseconds since the epoch
    service: str
    slot: Slot
    user: str  # a hash; empty: nobody knows whose request it was
    failed: bool  # 5xx, reset, time-out, also where a retry saved the client
    latency_ms: float


class _Tally:
    """The counts of one arm in a second that is still open."""

    __slots__ = ("bad_users", "failed", "latency", "requests", "users")

    def __init__(self) -> None:
        self.requests = self.failed = self.users = self.bad_users = 0
        self.latency: dict[int, int] = {}

    def closed(self) -> ArmCount:
        return ArmCount(
            requests=self.requests,
            failed=self.failed,
            users=self.users,
            bad_users=self.bad_users,
            latency=self.latency,
        )


class _BadUser:
    """A user who failed and has not recovered yet."""

    __slots__ = ("good", "pause_ms", "since_ms")

    def __init__(self, since_ms: int) -> None:
        self.since_ms = since_ms  # the last failure that was counted
        self.pause_ms = FIRST_PAUSE_MS
        self.good = 0  # good requests since the last bad one


class _OpenSecond:
    __slots__ = ("arms", "lost")

    def __init__(self) -> None:
        self.arms: dict[tuple[str, Slot], _Tally] = {}
        self.lost = 0


class Counter:
    """Counts records into seconds. All bounded: seconds that are open, arms in a second, users that are remembered."""

    def __init__(self, now_ms: int) -> None:
        """Begin at `now_ms`: what that second already missed makes it no evidence."""
        self._first = now_ms // 1000  # the oldest second that is open
        self._now_ms = now_ms
        self._open: dict[int, _OpenSecond] = {}
        self._bad: dict[str, dict[str, _BadUser]] = {}
        self.lose(now_ms, 1)

    def count(self, records: Iterable[Observed]) -> None:
        """Count records, in any order; one that comes after its second was closed counts in the oldest open one."""
        open_seconds, all_bad = self._open, self._bad
        for at_ms, service, slot, user, failed, latency_ms in records:
            second = open_seconds.get(at_ms // 1000) or self._second_of(at_ms)
            if second is None:
                continue
            tally = second.arms.get((service, slot)) or self._arm(second, (service, slot))
            if tally is None:
                continue
            tally.requests += 1
            if failed:
                tally.failed += 1
            if not user:  # meets the old version whatever the share: no member of an arm
                continue
            bad = all_bad.get(service)
            if failed or (bad and user in bad):
                if not self._counts(service, user, at_ms, failed=failed):
                    continue
                tally.bad_users += failed
            tally.users += 1
            if not failed:
                bucket = bisect_left(EDGES, latency_ms)
                tally.latency[bucket] = tally.latency.get(bucket, 0) + 1

    def lose(self, at_ms: int, records: int) -> None:
        """Say that records of about this time are missing: the second is no evidence."""
        second = self._second_of(at_ms) or self._open_second(self._first)
        second.lost += records

    def close(self, now_ms: int, *, lag_ms: int = LAG_MS) -> list[Second]:
        """Return the seconds that ended `lag_ms` ago or earlier, oldest first, each once and without a gap."""
        if now_ms - self._now_ms > STALL_MS:
            self._lose_between(self._now_ms, now_ms)
        self._now_ms = max(now_ms, self._now_ms)
        closed = []
        while (self._first + 1) * 1000 + lag_ms <= self._now_ms:
            closed.append(self._close_first())
        return closed

    def _close_first(self) -> Second:
        at = self._first
        self._first += 1
        second = self._open.pop(at, None)
        if second is None:
            return Second(at=at)
        return Second(at=at, arms={arm: tally.closed() for arm, tally in second.arms.items()}, lost=second.lost)

    def _lose_between(self, from_ms: int, to_ms: int) -> None:
        now = to_ms // 1000
        self._first = max(self._first, now - LONGEST_STALL_S)
        for at in range(max(from_ms // 1000, self._first), now + 1):
            self._open_second(at).lost += 1

    def _second_of(self, at_ms: int) -> _OpenSecond | None:
        """Open the second for a record; None: the record cannot be placed and is lost."""
        at = at_ms // 1000
        if at > self._now_ms // 1000 + AHEAD_S or self._now_ms - at_ms > LATEST_MS:
            self._open_second(self._first).lost += 1
            return None
        return self._open_second(max(at, self._first))

    def _open_second(self, at: int) -> _OpenSecond:
        second = self._open.get(at)
        if second is None:
            second = self._open[at] = _OpenSecond()
        return second

    def _arm(self, second: _OpenSecond, arm: tuple[str, Slot]) -> _Tally | None:
        if len(second.arms) >= ARMS_LIMIT:
            second.lost += 1
            return None
        tally = second.arms[arm] = _Tally()
        return tally

    def _counts(self, service: str, user: str, at_ms: int, *, failed: bool) -> bool:
        """Remember what a user who is or gets bad met; tell whether the request counts."""
        bad = self._bad.setdefault(service, {})
        known = bad.get(user)
        if known is None or at_ms - known.since_ms > known.pause_ms + FORGET_MS:
            return _begin(bad, user, at_ms) if failed else bad.pop(user, None) is not None
        paused = at_ms - known.since_ms < known.pause_ms
        if not failed:
            known.good += 1
            if known.good >= RECOVERED:
                del bad[user]
            return not paused
        known.good = 0
        if paused:
            return False
        known.since_ms, known.pause_ms = at_ms, min(known.pause_ms * 2, LONGEST_PAUSE_MS)
        bad[user] = bad.pop(user)  # last in line to be forgotten
        return True


def _begin(bad: dict[str, _BadUser], user: str, at_ms: int) -> bool:
    bad.pop(user, None)
    if len(bad) >= BAD_USERS_LIMIT:
        del bad[next(iter(bad))]
    bad[user] = _BadUser(at_ms)
    return True
