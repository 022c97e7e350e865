"""What the gateway must remember over a kill: who meets which version, and where instances stand. Pure."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from hitless.kit.errors import HitlessError
from hitless.plan.instances import InstanceId
from hitless.traffic.ports import Place
from hitless.traffic.steps import Routing


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """The persisted truth of the gateway; HAProxy follows it."""

    routings: Mapping[str, Routing] = field(default_factory=dict)
    places: Mapping[InstanceId, Place] = field(default_factory=dict)
    epoch: int = 0  # of the controller that wrote it last

    @classmethod
    def read(cls, text: str) -> Self:
        """Read what `write` wrote. Raises HitlessError `gateway-state-broken`."""
        try:
            plain = json.loads(text)
            routings = {name: Routing.from_data(data) for name, data in plain["routings"].items()}
            places = {
                InstanceId.parse(name): Place(port=int(data["port"]), state=data["state"])
                for name, data in plain["places"].items()
            }
            return cls(routings=routings, places=places, epoch=int(plain["epoch"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            text, hint = (
                f"the gateway's state cannot be read: {error!r}",
                "move gateway/state.json away, then: hitless up",
            )
            raise HitlessError("gateway-state-broken", text, hint) from None

    def write(self) -> str:
        """Write it as JSON."""
        places = {str(name): {"port": each.port, "state": each.state} for name, each in sorted(self.places.items())}
        routings = {name: each.to_data() for name, each in sorted(self.routings.items())}
        return json.dumps({"epoch": self.epoch, "routings": routings, "places": places}, indent=1) + "\n"

    def routed(self, routing: Routing) -> Self:
        """Return it with a routing in force."""
        return replace(self, routings={**self.routings, routing.service: routing})

    def placed(self, instance: InstanceId, place: Place | None) -> Self:
        """Return it with an instance at a place; None: nowhere."""
        others = {name: each for name, each in self.places.items() if name != instance}
        return replace(self, places=others if place is None else {**others, instance: place})

    def only(self, services: Iterable[str]) -> Self:
        """Return it without what is about other services."""
        known = set(services)
        routings = {name: each for name, each in self.routings.items() if name in known}
        places = {name: each for name, each in self.places.items() if name.service in known}
        return replace(self, routings=routings, places=places)
