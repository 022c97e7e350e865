"""Steps on traffic: let instances take requests, empty them, move a share of users. Pure."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from hitless.kit.units import NOBODY, Share, format_duration
from hitless.plan.instances import InstanceId, Slot, other


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """Who meets which version of a service.

    A user meets the other slot than `baseline` if the bucket lies below `share`, or the user is of `group`;
    everybody else, and every request without a user, meets `baseline`.
    """

    service: str
    baseline: Slot
    share: Share = NOBODY
    salt: str = ""
    group: str = ""  # empty: no group
    version_a: str = ""  # empty: nothing stands in slot a
    version_b: str = ""

    def version(self, slot: Slot) -> str:
        """Return the version in a slot; empty if nothing stands there."""
        return self.version_a if slot == "a" else self.version_b

    def with_version(self, slot: Slot, version: str) -> Self:
        """Return the same routing with another version in a slot."""
        return replace(self, version_a=version) if slot == "a" else replace(self, version_b=version)

    def share_of(self, slot: Slot) -> Share:
        """Return the share of users that a slot gets by bucket (a group comes on top)."""
        return Share(10_000 - self.share.buckets) if slot == self.baseline else self.share

    def serves(self, slot: Slot) -> bool:
        """Tell whether anybody can be sent to a slot."""
        return slot == self.baseline or self.share > NOBODY or bool(self.group)

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Self:
        """Read what `to_data` wrote."""
        return cls(**{**data, "share": Share(data["share"])})

    def to_data(self) -> dict[str, Any]:
        """Write the routing as plain data."""
        names = ("service", "baseline", "salt", "group", "version_a", "version_b")
        return {name: getattr(self, name) for name in names} | {"share": self.share.buckets}


def _named(service: str, slot: Slot, numbers: tuple[int, ...]) -> tuple[InstanceId, ...]:
    return tuple(InstanceId(service, slot, number) for number in numbers)


def _several(numbers: tuple[int, ...]) -> str:
    return f"{len(numbers)} instance{'' if len(numbers) == 1 else 's'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Admit:
    """Let running instances take the requests of their slot."""

    room: ClassVar[str] = "traffic"
    kind: ClassVar[str] = "admit"

    service: str
    slot: Slot
    numbers: tuple[int, ...]
    drain_s: float | None = 30.0  # for the way back; None: as long as it takes

    def describe(self) -> str:
        """Say in one line what the step does."""
        return f"let {_several(self.numbers)} of {self.service} in slot {self.slot} take requests"

    def inverse(self) -> "Drain":
        """Return the step that empties them."""
        return Drain(service=self.service, slot=self.slot, numbers=self.numbers, drain_s=self.drain_s)

    @property
    def point_of_no_return(self) -> bool:
        """Nothing is lost by emptying them."""
        return False

    @property
    def instances(self) -> tuple[InstanceId, ...]:
        """The instances that the step is about."""
        return _named(self.service, self.slot, self.numbers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """Send instances nothing new and wait until what they have in flight has ended, for at most `drain_s`."""

    room: ClassVar[str] = "traffic"
    kind: ClassVar[str] = "drain"

    service: str
    slot: Slot
    numbers: tuple[int, ...]
    drain_s: float | None  # None: as long as it takes

    def describe(self) -> str:
        """Say in one line what the step does."""
        bound = "as long as it takes" if self.drain_s is None else f"at most {format_duration(self.drain_s)}"
        return f"drain {_several(self.numbers)} of {self.service} in slot {self.slot}, {bound}"

    def inverse(self) -> Admit:
        """Return the step that lets them take requests again."""
        return Admit(service=self.service, slot=self.slot, numbers=self.numbers, drain_s=self.drain_s)

    @property
    def point_of_no_return(self) -> bool:
        """What outlives the drain is closed by its service, as the system file says; nothing else is lost."""
        return False

    @property
    def instances(self) -> tuple[InstanceId, ...]:
        """The instances that the step is about."""
        return _named(self.service, self.slot, self.numbers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """Move users from one version to the other, at one stroke."""

    room: ClassVar[str] = "traffic"
    kind: ClassVar[str] = "shift"

    before: Routing
    after: Routing

    def describe(self) -> str:
        """Say in one line what the step does."""
        return f"{self.after.service}: {self._who()} to {self.after.version(self._slot())}"

    def inverse(self) -> "Shift":
        """Return the step that moves them back."""
        return Shift(before=self.after, after=self.before)

    @property
    def point_of_no_return(self) -> bool:
        """Users can be moved back at any time."""
        return False

    def _slot(self) -> Slot:
        """Where users are moved to."""
        if self.before.baseline != self.after.baseline:
            return self.after.baseline
        grows = (self.after.share, self.after.group) > (self.before.share, self.before.group)
        return other(self.after.baseline) if grows else self.after.baseline

    def _who(self) -> str:
        if self.before.baseline != self.after.baseline and self.after.share == NOBODY and not self.after.group:
            return "everybody"
        if self.after.share == self.before.share and self.after.group != self.before.group:
            return f"group {self.after.group or self.before.group}"
        if self._slot() == self.after.baseline:
            return "everybody" if self.after.share == NOBODY else f"all but {self.after.share} of users"
        return f"{self.after.share} of users"
