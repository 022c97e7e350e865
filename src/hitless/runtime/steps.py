"""Steps on processes: start instances, stop them, check a version. Pure."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

from hitless.plan.instances import InstanceId, Slot


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """Everything that it takes to start an instance of one version."""

    service: str
    version: str
    run: tuple[str, ...]  # {port} and {version} are filled in
    cwd: str  # absolute; {version} is filled in
    env: tuple[tuple[str, str], ...] = ()  # `env:` and `file:` references stay unresolved; see environment.py
    ready: str = "/ready"
    ready_timeout_s: float = 30.0
    grace_s: float = 10.0  # from TERM to KILL
    database: str | None = None  # whose URL is in the environment
    schema: str | None = None  # the schema version chosen in that URL; it stays with the launch through every restart

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Self:
        """Read what `to_data` wrote (lists for tuples are fine)."""
        env = tuple((str(name), str(value)) for name, value in data["env"])
        return cls(**{**data, "run": tuple(data["run"]), "env": env})

    def to_data(self) -> dict[str, Any]:
        """Write the launch as plain data."""
        return asdict(self)


def _several(numbers: tuple[int, ...]) -> str:
    return f"{len(numbers)} instance{'' if len(numbers) == 1 else 's'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Start instances of a version; in force when all of them are ready."""

    room: ClassVar[str] = "runtime"
    kind: ClassVar[str] = "start"

    slot: Slot
    numbers: tuple[int, ...]
    launch: Launch

    def describe(self) -> str:
        """Say in one line what the step does."""
        return f"start {_several(self.numbers)} of {self.launch.service} {self.launch.version}"

    def inverse(self) -> "Stop":
        """Return the step that stops them."""
        return Stop(slot=self.slot, numbers=self.numbers, launch=self.launch)

    @property
    def point_of_no_return(self) -> bool:
        """Nothing is lost by stopping them."""
        return False

    @property
    def instances(self) -> tuple[InstanceId, ...]:
        """The instances that the step is about."""
        return tuple(InstanceId(self.launch.service, self.slot, number) for number in self.numbers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Stop instances of a version, at once or after a time in which they stay ready for an instant return."""

    room: ClassVar[str] = "runtime"
    kind: ClassVar[str] = "stop"

    slot: Slot
    numbers: tuple[int, ...]
    launch: Launch
    keep_s: float = 0.0

    def describe(self) -> str:
        """Say in one line what the step does."""
        what = f"stop {_several(self.numbers)} of {self.launch.service} {self.launch.version}"
        return f"{what} {self.keep_s:g} s from now" if self.keep_s else what

    def inverse(self) -> Start:
        """Return the step that has them ready again."""
        return Start(slot=self.slot, numbers=self.numbers, launch=self.launch)

    @property
    def point_of_no_return(self) -> bool:
        """Nothing is lost: the same launch can be started again."""
        return False

    @property
    def instances(self) -> tuple[InstanceId, ...]:
        """The instances that the step is about."""
        return tuple(InstanceId(self.launch.service, self.slot, number) for number in self.numbers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Run the user's command against a new version before its first user."""

    room: ClassVar[str] = "runtime"
    kind: ClassVar[str] = "check"

    service: str
    slot: Slot
    command: tuple[str, ...]
    cwd: str = "."
    timeout_s: float = 60.0

    def describe(self) -> str:
        """Say in one line what the step does."""
        return f"check the new version of {self.service}: {' '.join(self.command)}"

    def inverse(self) -> None:
        """Nothing has changed."""

    @property
    def point_of_no_return(self) -> bool:
        """Nothing has changed."""
        return False
