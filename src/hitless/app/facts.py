"""What is in force right now, as the planner sees it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from hitless.plan.instances import Slot, other
from hitless.runtime.steps import Launch
from hitless.traffic.steps import Routing


@dataclass(frozen=True, slots=True, kw_only=True)
class Occupied:
    """What stands in one slot of a service."""

    launch: Launch
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceNow:
    """One service as it runs."""

    routing: Routing
    slots: Mapping[Slot, Occupied]

    @property
    def baseline(self) -> Occupied | None:
        """What serves users; None if the service does not run."""
        return self.slots.get(self.routing.baseline)

    @property
    def kept(self) -> Occupied | None:
        """What still stands in the other slot: the version before, kept for an instant return."""
        return self.slots.get(other(self.routing.baseline))


@dataclass(frozen=True, slots=True, kw_only=True)
class Felt:
    """What the users of one service have felt of late."""

    users_per_s: float  # requests of users, as the guards count them
    users: int  # so many in all
    bad: int  # of them

    @property
    def bad_share(self) -> float:
        """The part of them that is bad; where none was, what may be hidden behind so few (Jeffreys' half)."""
        return (self.bad or 0.5) / (self.users + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The whole system as it runs."""

    services: Mapping[str, ServiceNow]
    requests_per_s: Mapping[str, float]  # per service, over the last minute; empty where nobody counted
    long_connections: Mapping[str, int]  # per service: streams and websockets open now
    resident_bytes: Mapping[str, int]  # per service: memory of one instance, the largest
    available_bytes: int  # memory that the machine can still give
    felt: Mapping[str, Felt] = field(default_factory=dict)  # per service, over the last quarter of an hour
