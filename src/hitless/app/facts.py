"""What is in force right now, as the planner sees it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

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
class Facts:
    """The whole system as it runs."""

    services: Mapping[str, ServiceNow]
    requests_per_s: Mapping[str, float]  # per service, over the last minute; empty where nobody counted
    long_connections: Mapping[str, int]  # per service: streams and websockets open now
    resident_bytes: Mapping[str, int]  # per service: memory of one instance, the largest
    available_bytes: int  # memory that the machine can still give
