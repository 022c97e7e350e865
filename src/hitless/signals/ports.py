"""What the room asks of the world, so that a simulated one can stand in for it. Pure."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from hitless.plan.instances import InstanceId, Slot
from hitless.signals.outcomes import Conversion


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmCount:
    """What the users of one slot of one service felt in one second."""

    requests: int = 0  # all of them
    failed: int = 0  # of `requests`: 5xx, reset, time-out, also where a retry saved the client
    saved: int = 0  # of `failed`: a retry saved the client
    users: int = 0  # requests of users that were not yet bad
    bad_users: int = 0  # of `users`: a user's first bad request, or one after a pause (bad_users.py)
    latency: Mapping[int, int] = field(default_factory=dict)  # log bucket -> requests, see hitless.verdict.EDGES
    assigned: int = 0  # users seen for the first time, at a service with two versions
    parts: Mapping[int, tuple[int, int]] = field(default_factory=dict)  # cell of buckets -> (users, bad_users), where
    # a service has two versions, in a second with bad users; see parts.py


Elsewhere = tuple[str, Slot, str]  # the changed service, the slot of it that the users met, the service they touch


@dataclass(frozen=True, slots=True, kw_only=True)
class Second:
    """One closed second of all services."""

    at: int  # seconds since the epoch; the second [at, at + 1)
    arms: Mapping[tuple[str, Slot], ArmCount] = field(default_factory=dict)
    elsewhere: Mapping[Elsewhere, ArmCount] = field(default_factory=dict)  # users and bad users alone
    outcomes: Mapping[tuple[str, Slot], ArmCount] = field(default_factory=dict)  # users whose time to convert is over;
    # `bad_users`: those who did not
    one_in: Mapping[str, int] = field(default_factory=dict)  # tested service -> one user in so many is followed, where
    # there are more than can be remembered; not there: all of them
    lost: int = 0  # records that were dropped on the way: then this second is no evidence


class Ticks(Protocol):
    """Counts of what users feel, second by second."""

    def follow(self, since: float) -> AsyncIterator[Second]:
        """Yield every closed second from `since` on, in order, then as they come; zero counts where nothing came.

        A source that is broken raises OSError; following again from the last second continues without loss.
        """
        ...


class Tests(Protocol):
    """Told which test begins and ends, so that users who were bad in an earlier one count again."""

    async def begin(self, service: str, run: str, conversion: Conversion | None) -> None:
        """A run begins its test of a service; said again, it goes on with it. Raises OSError if nobody hears it.

        A test of which nothing is heard for two hours is over.

        `conversion`: what its users are expected to do.
        """
        ...

    async def end(self, service: str, run: str) -> None:
        """The test of a service by a run is over, if there is one. Raises OSError if nobody hears it."""
        ...


class Evidence(Protocol):
    """Keeps what a run has found so far, so that a controller that was killed goes on with the same test."""

    async def load(self, run: str, service: str) -> bytes | None:
        """Return what was kept last for a service of a run; None if nothing was."""
        ...

    async def keep(self, run: str, service: str, state: bytes) -> None:
        """Keep it; at the return it is on disk. Raises Abandon if a newer controller is there."""
        ...


class Restarts(Protocol):
    """Counts how often instances ended without being asked to."""

    async def restarts(self) -> Mapping[InstanceId, int]:
        """Return the count for every instance that runs."""
        ...
