"""What every guard is made of: a description that the user writes, and a watch that follows the ticks."""

from typing import Any, NamedTuple, Protocol

from hitless.verdict.ticks import Arm, Tick


class Counts(NamedTuple):
    """What a guard has counted so far, in both arms."""

    canary: int = 0
    canary_bad: int = 0
    baseline: int = 0
    baseline_bad: int = 0


class Setting(NamedTuple):
    """What a verdict tells its guards: where each fires alone, and for how long it is meant to watch."""

    cap: float  # wealth at which this guard's part alone is enough
    horizon_s: float
    least_bad: int  # never on fewer bad events of the canary


class Watch(Protocol):
    """Follows the ticks of one guard."""

    counts: Counts

    @property
    def worse(self) -> float:
        """Evidence that the canary is worse; 1 at the beginning."""
        ...

    @property
    def fine(self) -> float | None:
        """Evidence that the canary is better than the limit; None where no promotion was asked for."""
        ...

    def feed(self, canary: Arm, baseline: Arm, elapsed_s: float) -> bool:
        """Take one tick in which both arms are known; tell whether it held anything to compare."""
        ...

    def state(self) -> dict[str, Any]:
        """Return all that the future depends on, as plain values."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a state again, exactly."""
        ...


class Guard(Protocol):
    """A description of what is watched; it is plain data and starts a watch."""

    @property
    def name(self) -> str:
        """What a verdict calls it."""
        ...

    @property
    def weight(self) -> float:
        """Its part of the false-alarm budget, relative to the other guards."""
        ...

    @property
    def on(self) -> str:
        """The place it looks at; empty for the changed service itself."""
        ...

    def watch(self, setting: Setting) -> Watch:
        """Begin to watch."""
        ...

    def described(self) -> dict[str, Any]:
        """Return the arguments that make this guard again."""
        ...


def arms(guard: Guard, tick: Tick) -> tuple[Arm | None, Arm | None]:
    """Return the pair of arms that this guard looks at, None for what is not known."""
    if not guard.on:
        return tick.canary, tick.baseline
    return (tick.places or {}).get(guard.on, (None, None))
