"""What the room asks of the world, so that a simulated one can stand in for it. Pure."""

from dataclasses import dataclass
from typing import Literal, Protocol

from hitless.plan.instances import InstanceId
from hitless.runtime.steps import Launch

Condition = Literal[
    "starting", "running", "backoff", "stopping", "stopped", "lost"
]  # lost: wanted, but nobody is there


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a process ended: exit code or signal; both None if nobody saw it."""

    code: int | None
    signal: int | None
    at: float  # seconds since the epoch

    def __str__(self) -> str:
        if self.signal is not None:
            return f"signal {self.signal}"
        return "an unknown exit code" if self.code is None else f"exit code {self.code}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessState:
    """An instance as it is now."""

    launch: Launch
    port: int
    pid: int | None  # None: between two lives
    state: Condition
    restarts: int  # how often it ended without being asked to
    last_exit: Ended | None = None
    retire_at: float | None = None  # seconds since the epoch; kept for an instant return until then


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What came of a check command."""

    code: int | None  # None: not over within its time
    output: str  # its last lines


class Processes(Protocol):
    """The instances of one machine."""

    async def start(self, instance: InstanceId, launch: Launch) -> None:
        """Start an instance; what runs with the same launch stays, and is no longer to retire. Never a second copy."""
        ...

    async def state(self, instance: InstanceId) -> ProcessState | None:
        """Return what is there; None: nothing."""
        ...

    async def ready(self, instance: InstanceId) -> bool:
        """Tell whether its ready path answers 200 now."""
        ...

    async def stop(self, instance: InstanceId, grace_s: float) -> None:
        """Return when the instance is dead and forgotten, at the latest a moment after `grace_s`."""
        ...

    async def retire(self, instance: InstanceId, at: float) -> None:
        """Note that the instance may be stopped at that time (seconds since the epoch)."""
        ...

    async def check(self, instance: InstanceId, command: tuple[str, ...], cwd: str, timeout_s: float) -> Checked:
        """Run a command against the instance, in its environment, with HITLESS_CHECK_URL."""
        ...

    async def instances(self) -> list[InstanceId]:
        """Return the instances that are there, in order."""
        ...

    async def log_tail(self, instance: InstanceId, lines: int = 20) -> str:
        """Return the last lines that the instance wrote."""
        ...
