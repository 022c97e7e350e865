"""What to do next, from the facts alone. Pure."""

from dataclasses import dataclass

from hitless.engine.journal import Run, State


@dataclass(frozen=True, slots=True)
class Do:
    """Bring the effect of a step about, or look whether it already is."""

    position: int


@dataclass(frozen=True, slots=True)
class Undo:
    """Take a step back."""

    position: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing, until somebody says so."""


@dataclass(frozen=True, slots=True)
class Stop:
    """The run is at rest, or comes to rest now."""

    state: State


Move = Do | Undo | Wait | Stop


def next_move(run: Run, length: int, gate: int | None = None) -> Move:
    """Return the one move that is right now, for a plan of this many steps.

    The steps from `gate` on wait for an approval; until then the run is completed with them open.
    """
    if run.ended is not None:
        return Stop(run.ended)
    if run.turned_back is not None:
        return Undo(run.reached - 1) if run.reached else Stop("rolled-back")
    if run.held is not None:
        return Wait()
    if run.in_doubt:
        return Do(run.reached - 1)  # killed half-way: look again, then finish it
    goal = length if gate is None or run.approved else gate
    return Do(run.reached) if run.reached < goal else Stop("completed")
