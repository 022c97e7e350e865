"""What every guard is made of: a description that the user writes, and a watch that follows the ticks."""

import math
from typing import Any, NamedTuple, Protocol

from hitless.verdict.ticks import Arm, Tick

PACE = 0.0  # as `null`: what is still needed shows by the pace of the evidence alone


class Counts(NamedTuple):
    """What a guard has counted so far, in both arms.

    `ours` are the canary's bad requests, each times the baseline's part of all requests of its second, `theirs` the
    baseline's, each times the canary's part: their quotient is a ratio of bad rates that a share and a rate which
    change together do not distort (Mantel & Haenszel 1959, each second a stratum).
    """

    canary: int = 0
    canary_bad: int = 0
    baseline: int = 0
    baseline_bad: int = 0
    ours: float = 0.0
    theirs: float = 0.0

    def plus(self, canary: int, bad: int, baseline: int, against: int) -> "Counts":
        """Return what has been counted after one second more, in which both arms had requests."""
        ours, theirs = self.ours, self.theirs
        if bad or against:
            share = canary / (canary + baseline)
            ours += bad * (1.0 - share)
            theirs += against * share
        return Counts(
            self.canary + canary,
            self.canary_bad + bad,
            self.baseline + baseline,
            self.baseline_bad + against,
            ours,
            theirs,
        )


class Setting(NamedTuple):
    """What a verdict tells its guards: where each fires alone, and for how long it is meant to watch."""

    cap: float  # wealth at which this guard's part alone is enough
    horizon_s: float
    least_bad: int  # never on fewer bad events of the canary
    alpha: float  # of the whole verdict


class Watch:
    """Follows the ticks of one guard. What a guard does not do, it inherits from here."""

    counts = Counts()
    null = math.inf  # ratio of bad rates that is tolerated; `PACE` where it is none; infinite: counts are no requests
    ready = True  # its evidence may roll back
    awaited = True  # it is no evidence if this guard alone has nothing to compare
    doubt = ""  # why this guard believes its own counts no longer

    @property
    def worse(self) -> float:
        """Evidence that the canary is worse; that of a fair game, from 1, if it is not."""
        return 0.0

    @property
    def waits(self) -> str:
        """What the evidence waits for, where it is less than what was counted; empty for nothing."""
        return ""

    @property
    def fine(self) -> float | None:
        """Evidence that the canary is better than the limit; None where no promotion was asked for."""
        return None

    @property
    def alarm(self) -> str:
        """Why the canary must go at once, without statistics; empty for nothing."""
        return ""

    @property
    def void(self) -> str:
        """Why nothing that was compared can be believed; empty for nothing."""
        return ""

    def feed(self, canary: Arm, baseline: Arm, elapsed_s: float) -> bool:
        """Take one tick in which both arms are known; tell whether it held anything to compare."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """Return all that the future depends on, as plain values."""
        raise NotImplementedError

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a state again, exactly."""
        raise NotImplementedError


class Guard(Protocol):
    """A description of what is watched; it is plain data and starts a watch."""

    @property
    def name(self) -> str:
        """What a verdict calls it."""
        ...

    @property
    def weight(self) -> float:
        """Its part of the false-alarm budget, relative to the other guards; 0 for a guard without statistics."""
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
