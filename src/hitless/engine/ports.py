"""What the engine needs from the outside: a journal, an alarm, and places to be killed at. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from hitless.engine.journal import Entry, Fact, State
from hitless.plan.plan import Plan
from hitless.plan.ports import StepFailed

Phase = Literal["before", "intent", "effect", "done"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """A run as the journal lists it."""

    run: str
    change: str
    state: State
    created_at: float  # seconds since the epoch
    plan: dict[str, Any]


class Journal(Protocol):
    """Append-only. Every write is refused with Abandon once a newer controller has taken over."""

    async def create(self, plan: dict[str, Any]) -> str:
        """Begin a run and return its id. Raises Refused if a run in flight claims the same services."""
        ...

    async def append(self, run: str, fact: Fact, state: State) -> Entry:
        """Write one fact; it is on disk at the return."""
        ...

    async def entries(self, run: str, after: int = 0) -> Sequence[Entry]:
        """Read the facts of a run in order."""
        ...

    async def find(self, run: str) -> RunRow | None:
        """Look one run up."""
        ...

    async def in_flight(self) -> Sequence[RunRow]:
        """List the runs that have not come to rest."""
        ...


class Alarm(Protocol):
    """Watches users while steps are being done."""

    async def harm(self, plan: Plan) -> StepFailed:
        """Return only when the change of this plan plainly does harm."""
        ...


class CrashPoints(Protocol):
    """Named places to be killed at, so that tests can enumerate every boundary."""

    def reach(self, position: int, phase: Phase, *, backward: bool) -> None:
        """Die here if somebody asked for it."""
        ...
