"""What the room asks of the world, so that a simulated one can stand in for it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from hitless.plan.instances import InstanceId
from hitless.traffic.steps import Routing

PlaceState = Literal["ready", "drain"]  # takes requests; keeps what it has and takes nothing new


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the gateway sends requests for an instance."""

    port: int  # on loopback
    state: PlaceState


class Gateway(Protocol):
    """The proxy in front of all services. What is set here survives a kill of the proxy."""

    async def routings(self) -> Mapping[str, Routing]:
        """Return who meets which version, per service."""
        ...

    async def places(self) -> Mapping[InstanceId, Place]:
        """Return the instances that are known to the gateway."""
        ...

    async def route(self, routing: Routing) -> None:
        """Put a routing in force for every request that comes after the return."""
        ...

    async def admit(self, instance: InstanceId, port: int) -> None:
        """Send requests to an instance from now on."""
        ...

    async def drain(self, instance: InstanceId) -> None:
        """Send an instance nothing new; what it has in flight goes on."""
        ...

    async def remove(self, instance: InstanceId) -> None:
        """Forget an instance that is drained."""
        ...

    async def in_flight(self, instance: InstanceId) -> int:
        """Count requests, streams and websockets that the instance has right now."""
        ...


class Ports(Protocol):
    """Knows where instances listen. Raises StepFailed if an instance does not run."""

    async def port(self, instance: InstanceId) -> int:
        """Return the loopback port of a running instance."""
        ...
