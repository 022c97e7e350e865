"""The counts of a second that is still open."""

from hitless.plan.instances import Slot
from hitless.signals.ports import ArmCount, Elsewhere


class Tally:
    """The counts of one arm."""

    __slots__ = (
        "assigned",
        "bad_users",
        "failed",
        "held",
        "held_slow",
        "latency",
        "parts",
        "requests",
        "saved",
        "users",
        "waiting",
    )

    def __init__(self) -> None:
        self.requests = self.failed = self.saved = self.users = self.bad_users = self.assigned = self.waiting = 0
        self.held = self.held_slow = 0  # of a user whose latencies do not count now
        self.latency: dict[int, int] = {}
        self.parts: dict[int, tuple[int, int]] = {}

    def count_part(self, cell: int, *, failed: bool) -> None:
        """Count a request of a user for the cell of buckets."""
        users, bad = self.parts.get(cell, (0, 0))
        self.parts[cell] = users + 1, bad + failed

    def closed(self) -> ArmCount:
        """Return what is told of the second."""
        return ArmCount(
            requests=self.requests,
            failed=self.failed,
            saved=self.saved,
            users=self.users,
            bad_users=self.bad_users,
            latency=self.latency,
            assigned=self.assigned,
            parts=self.parts if self.bad_users else {},
        )


Unknown = tuple[str, str, str, int, bool]  # changed service, service, user not met there yet, end of request, failed


class OpenSecond:
    """A second that records may still come for."""

    __slots__ = ("arms", "elsewhere", "lost", "unknown")

    def __init__(self) -> None:
        self.arms: dict[tuple[str, Slot], Tally] = {}
        self.elsewhere: dict[Elsewhere, Tally] = {}
        self.unknown: list[Unknown] = []
        self.lost = 0
