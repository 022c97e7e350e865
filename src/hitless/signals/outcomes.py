"""Users who do what the business lives on, or do not: each user of a test once, when the time to do it is over. Pure.

A user belongs to the version that was met first in the test, whatever comes later, and counts in the second in which
`within_s` since then have passed. Who was there before the test had two versions is as new as anybody else.
"""

from collections import deque
from dataclasses import dataclass

from hitless.plan.instances import Slot
from hitless.signals.sample import Sample

USERS_LIMIT = 100_000  # of one test; beyond it every second one is forgotten, in both arms alike


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """What users of a version are expected to do, for some of them at least: a request that is answered well."""

    at: str  # the service that is asked
    method: str
    within_s: float  # since the first request of the test
    margin: float = 0.02  # the part of the conversions that may be lost


class _Member:
    __slots__ = ("converted", "slot", "until_ms")

    def __init__(self, slot: Slot, until_ms: int) -> None:
        self.slot, self.until_ms, self.converted = slot, until_ms, False


class Outcomes:
    """The users of one test. Bounded."""

    def __init__(self, conversion: Conversion) -> None:
        self.conversion = conversion
        self._within_ms = int(conversion.within_s * 1000)
        self._users: dict[str, _Member | None] = {}  # None: was counted, and does not count again
        self.sample = Sample()
        self._due: deque[tuple[int, str]] = deque()  # those that are still to be counted, about in order

    def join(self, user: str, slot: Slot, at_ms: int) -> None:
        """Take a user who meets a version."""
        if user in self._users or user not in self.sample:
            return
        if len(self._users) >= USERS_LIMIT:
            self.sample.make_room(self._users, USERS_LIMIT)
            self._due = deque(each for each in self._due if each[1] in self.sample)
            if user not in self.sample:
                return
        self._users[user] = _Member(slot, at_ms + self._within_ms)
        self._due.append((at_ms + self._within_ms, user))

    def answered(self, service: str, method: str, user: str, at_ms: int) -> None:
        """Take a request that was answered well."""
        if (service, method) != (self.conversion.at, self.conversion.method):
            return
        member = self._users.get(user)
        if member is not None and at_ms <= member.until_ms:
            member.converted = True

    def close(self, before_ms: int) -> dict[Slot, tuple[int, int]]:
        """Return, by slot, how many users' time ended before a moment, and how many of them did not convert."""
        closed: dict[Slot, tuple[int, int]] = {}
        while self._due and self._due[0][0] < before_ms:
            user = self._due.popleft()[1]
            member, self._users[user] = self._users[user], None
            if member is not None:
                users, lost = closed.get(member.slot, (0, 0))
                closed[member.slot] = users + 1, lost + (not member.converted)
        return closed
