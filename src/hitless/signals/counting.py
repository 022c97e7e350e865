"""Turns what the gateway logged into counts per second: requests, failures, users and latencies of each version. Pure.

Users are counted, not only requests (bad_users.py), and one who is always slow is not many (slow_users.py). Users of a
service with two versions are followed to every other service that they touch (members.py), and to what they are
expected to do there (outcomes.py).
"""

import math
from bisect import bisect_left
from collections.abc import Iterable
from typing import NamedTuple

from hitless.plan.instances import Slot
from hitless.signals.bad_users import BadUsers
from hitless.signals.before import Before
from hitless.signals.members import SERVICES_LIMIT, Members, elsewhere
from hitless.signals.outcomes import Conversion, Outcomes
from hitless.signals.parts import CELL
from hitless.signals.ports import ArmCount, Elsewhere, Second
from hitless.signals.slow_users import SlowUsers
from hitless.signals.tally import OpenSecond, Tally
from hitless.verdict import EDGES

LAG_MS = 1000  # a second is closed this long after its end
LATEST_MS = 60_000  # a record that comes later than this is lost
AHEAD_S = 5  # nor is one believed whose end lies further ahead of our clock
STALL_MS = 3000  # who did not look for so long may have missed something
LONGEST_STALL_S = 7200  # seconds before that are left out, not even called lost
ARMS_LIMIT = 512  # services times slots in one second; what is beyond is lost
UNKNOWN_LIMIT = 20_000  # requests in one second of users not met yet; of those beyond nothing is told elsewhere


class Observed(NamedTuple):
    """One request as the gateway saw it."""

    at_ms: int  # its end, in milliseconds since the epoch
    service: str
    slot: Slot
    user: str  # a hash; empty: nobody knows whose request it was
    failed: bool  # 5xx, reset, time-out, also where a retry saved the client
    latency_ms: float
    saved: bool = False  # of those that failed: the client saw a good answer all the same
    bucket: str = ""  # of the user, a number, where the gateway chose a version by it
    did: str = ""  # the method, if the request was answered well


Row = tuple[int, str, Slot, str, bool, float, bool, str, str]  # an Observed; any tuple of its values is as good


class Counter:
    """Counts records into seconds. All bounded: seconds that are open, arms in a second, users that are remembered."""

    def __init__(self, now_ms: int, *, forgets: bool = False) -> None:
        """Begin at `now_ms`: what that second already missed makes it no evidence.

        `forgets`: begin with the next second, and take nothing that ended before it.
        """
        self._first = now_ms // 1000 + forgets  # the oldest second that is open
        self._forgotten = self._first if forgets else -math.inf  # what ended before this second is not counted at all
        self._now_ms = now_ms
        self._open: dict[int, OpenSecond] = {}
        self._bad: dict[tuple[str, str], BadUsers] = {}  # by the service, and the changed one that its users met
        self._slow: dict[str, SlowUsers] = {}
        self._before = Before()
        self._members = Members()
        self._outcomes: dict[str, Outcomes] = {}  # by the service that is tested
        self.lose(now_ms, 1)

    def count(self, records: Iterable[Row]) -> None:
        """Count records, in any order; one that comes after its second was closed counts in the oldest open one."""
        open_seconds = self._open
        for record in records:
            at_ms, service, slot, user, failed, _, saved, _, _ = record
            second = open_seconds.get(at_ms // 1000) or self._second_of(at_ms)
            if second is None:
                continue
            tally = second.arms.get((service, slot)) or self._arm(second, service, slot, at_ms)
            if tally is None:
                continue
            tally.requests += 1
            tally.failed += failed
            tally.saved += saved
            if user:  # without one it meets the old version whatever the share: no member of an arm
                self._count_user(second, tally, record)

    def _count_user(self, second: OpenSecond, tally: Tally, record: Row) -> None:
        at_ms, service, slot, user, failed, latency_ms, _, bucket, _ = record
        split = self._members.split
        if split:
            tally.assigned += self._follow(second, record)
        bad = self._bad.get((service, ""))
        if failed or (bad and user in bad.known):
            bad = bad or self._bad_users(service, "")
            if not bad.counts(user, slot, at_ms, failed=failed):
                tally.waiting += 1
                return
            tally.bad_users += failed
        tally.users += 1
        tested = service in split
        if bucket and tested:
            tally.count_part(int(bucket) // CELL, failed=failed)
        if not failed:
            place = bisect_left(EDGES, latency_ms)
            if not tested or self._slow_users(service).takes(tally, user, slot, at_ms, place):
                tally.latency[place] = tally.latency.get(place, 0) + 1

    def _follow(self, second: OpenSecond, record: Row) -> bool:
        """Count the request for the changed services that its user has met elsewhere.

        Tells whether the user is met for the first time, in a test of the service.
        """
        at_ms, service, slot, user, failed, _, _, _, did = record
        split = self._members.split
        new = service in split and self._members.learn(service, user, slot)
        if self._outcomes:
            self._expect(service, slot, user, at_ms, did)
        for changed, met in elsewhere(split, service, user):
            if met is not None:
                self._count_elsewhere(second, (changed, met, service), user, at_ms, failed=failed)
            elif len(second.unknown) < UNKNOWN_LIMIT:
                second.unknown.append((changed, service, user, at_ms, failed))
        return new

    def _count_elsewhere(self, second: OpenSecond, arm: Elsewhere, user: str, at_ms: int, *, failed: bool) -> None:
        changed, met, service = arm
        bad = self._bad.get((service, changed))
        if failed or (bad and user in bad.known):
            bad = bad or self._bad_users(service, changed)
            if not bad.counts(user, met, at_ms, failed=failed):
                return
        tally = second.elsewhere.get(arm)
        if tally is None:
            tally = second.elsewhere[arm] = Tally()
        tally.users += 1
        tally.bad_users += failed

    def _settle(self, second: OpenSecond) -> None:
        """Count elsewhere whoever was met by now: a request to the changed service ends after those that it makes.

        Without this the first failure that a new version brings about would be nobody's. Whether users are met in time
        does not depend on their version, and their good requests wait as the bad ones do.
        """
        for changed, service, user, at_ms, failed in second.unknown:
            met = self._members.split.get(changed, {}).get(user)
            if met is not None:
                self._count_elsewhere(second, (changed, met, service), user, at_ms, failed=failed)

    def _expect(self, service: str, slot: Slot, user: str, at_ms: int, did: str) -> None:
        """Take a request for the tests that expect something of their users."""
        if service in self._outcomes and service in self._members.split:
            self._outcomes[service].join(user, slot, at_ms)
        if did:
            for outcomes in self._outcomes.values():
                outcomes.answered(service, did, user, at_ms)

    def _bad_users(self, service: str, changed: str) -> BadUsers:
        return self._bad.setdefault((service, changed), BadUsers())

    def _slow_users(self, service: str) -> SlowUsers:
        """Return those of a service; the one that was met first is forgotten for one too many."""
        if service not in self._slow and len(self._slow) >= ARMS_LIMIT:
            del self._slow[next(iter(self._slow))]
        return self._slow.setdefault(service, SlowUsers())

    def begin(self, service: str, conversion: Conversion | None = None) -> None:
        """A new test of a service begins: its users are new, but for those who are bad on the old version.

        Where another test of it is under way, or too many are bad, all of them are new. `conversion`: what they are
        expected to do.
        """
        known, old = self._bad.get((service, "")), self._before.old_version(service, self._now_ms // 1000)
        untested = service not in self._members.tested
        self.end(service)
        if known is not None and old is not None and untested:
            self._bad[service, ""] = known.left_out(old, self._now_ms)
        self._members.begin(service)
        if conversion is not None and len(self._outcomes) < SERVICES_LIMIT:
            self._outcomes[service] = Outcomes(conversion)

    def end(self, service: str) -> None:
        """The test of a service is over: nothing is remembered of its users."""
        self._outcomes.pop(service, None)
        self._members.end(service)
        self._before.forget(service)
        if service in self._slow:
            self._slow[service].forget()
        for key in [key for key in self._bad if key == (service, "") or key[1] == service]:
            del self._bad[key]

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
        self._forget(at)
        second = self._open.pop(at, None)
        if second is not None:
            self._settle(second)
        outcomes, one_in = self._close_outcomes((at + 1) * 1000), self._one_in()
        if second is None:
            return Second(at=at, outcomes=outcomes, one_in=one_in)
        for (service, slot), tally in second.arms.items():
            self._before.add(service, slot, at, tally.users, tally.waiting)
            self._slow_users(service).learn(slot, tally, at)
        return Second(
            at=at,
            arms={arm: tally.closed() for arm, tally in second.arms.items()},
            elsewhere={arm: tally.closed() for arm, tally in second.elsewhere.items()},
            outcomes=outcomes,
            one_in=one_in,
            lost=second.lost,
        )

    def _close_outcomes(self, before_ms: int) -> dict[tuple[str, Slot], ArmCount]:
        return {
            (service, slot): ArmCount(users=users, bad_users=lost)
            for service, outcomes in self._outcomes.items()
            for slot, (users, lost) in outcomes.close(before_ms).items()
        }

    def _one_in(self) -> dict[str, int]:
        """Return, of the tests with more users than can be remembered, one user in how many is followed."""
        samples = [*self._members.samples.items(), *((name, each.sample) for name, each in self._outcomes.items())]
        one_in: dict[str, int] = {}
        for service, sample in samples:
            if sample.one_in > 1:
                one_in[service] = max(sample.one_in, one_in.get(service, 1))
        return one_in

    def _forget(self, at: int) -> None:
        gone = self._members.forget(at)
        for key in [key for key in self._bad if key[1] in gone]:
            del self._bad[key]

    def _lose_between(self, from_ms: int, to_ms: int) -> None:
        now = to_ms // 1000
        self._first = max(self._first, now - LONGEST_STALL_S)
        for at in range(max(from_ms // 1000, self._first), now + 1):
            self._open_second(at).lost += 1

    def _second_of(self, at_ms: int) -> OpenSecond | None:
        """Open the second for a record; None: the record cannot be placed and is lost, or it is to be forgotten."""
        at = at_ms // 1000
        if at < self._forgotten:
            return None
        if at > self._now_ms // 1000 + AHEAD_S or self._now_ms - at_ms > LATEST_MS:
            self._open_second(self._first).lost += 1
            return None
        return self._open_second(max(at, self._first))

    def _open_second(self, at: int) -> OpenSecond:
        second = self._open.get(at)
        if second is None:
            second = self._open[at] = OpenSecond()
        return second

    def _arm(self, second: OpenSecond, service: str, slot: Slot, at_ms: int) -> Tally | None:
        if len(second.arms) >= ARMS_LIMIT:
            second.lost += 1
            return None
        self._members.see(service, slot, min(at_ms, self._now_ms) // 1000)
        tally = second.arms[service, slot] = Tally()
        return tally
