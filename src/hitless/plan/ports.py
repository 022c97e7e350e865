"""What the engine asks of the rooms, and nothing else. Pure."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from hitless.kit.errors import HitlessError
from hitless.plan.step import Step


class StepFailed(HitlessError):
    """The step cannot be done; what the run has done so far must be taken back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Where in a run a step is being carried out."""

    run: str
    position: int
    started_at: float  # seconds since the epoch, from the journal: the same after a kill and a restart
    resumed_at: float = 0.0  # when somebody last let the run go on that was held; 0: nobody did
    backward: bool = False  # this step is an inverse
    note: Callable[[dict[str, object]], Awaitable[None]]  # writes a remark (a verdict, a count) into the journal


class Driver(Protocol):
    """Carries out the steps of one room. Both doors are safe to call again after a kill at any point."""

    async def done(self, step: Step, moment: Moment) -> bool:
        """Tell from the world itself whether the effect of the step is already in force."""
        ...

    async def do(self, step: Step, moment: Moment) -> None:
        """Bring the effect about; return only when it is in force. Raises StepFailed if that cannot be."""
        ...


class Clock(Protocol):
    """Time, real or virtual."""

    def now(self) -> float:
        """Return seconds since the epoch."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...
