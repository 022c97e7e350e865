"""The guard of the comparison itself: do the arms get the users that they were meant to get?"""

import math
from dataclasses import asdict, dataclass
from typing import Any

from hitless.verdict.errors import checked_names
from hitless.verdict.guard import Counts, Setting, Watch
from hitless.verdict.ticks import Arm, checked_numbers

ODDS = (0.5, 0.67, 0.8, 0.9, 1.1, 1.25, 1.5, 2.0)  # of being the canary's, against what was meant


@dataclass(frozen=True, slots=True)
class SampleRatio:
    """Users newly assigned to the canary against the `share` that was meant; if it is off, no comparison is believed.

    It has an alpha of its own and never rolls back: the verdict holds. Raises ValueError for a share that cannot be.
    """

    share: float
    alpha: float = 0.001
    on: str = ""
    name: str = "sample ratio"
    weight: float = 0.0

    def __post_init__(self) -> None:
        checked_names(self.name, self.on)
        checked_numbers(share=self.share, alpha=self.alpha, weight=self.weight)
        if not (0.0 < self.share < 1.0 and 0.0 < self.alpha < 1.0 and self.weight == 0.0):
            raise ValueError(f"share={self.share}, alpha={self.alpha}, weight={self.weight}: two parts of one, and 0")

    def watch(self, setting: Setting) -> "SampleRatioWatch":
        """Begin to watch."""
        return SampleRatioWatch(self)

    def described(self) -> dict[str, Any]:
        """Return the arguments that make this guard again."""
        return asdict(self)


class SampleRatioWatch(Watch):
    """E = mean over odds o of o^c / (1 + s(o-1))^n for c of n users in the canary: 1 in the mean under share s."""

    awaited = False  # users who stay with their arm are not assigned anew

    def __init__(self, guard: SampleRatio) -> None:
        self._guard = guard
        self._steps = [0.0] * len(ODDS)  # logarithms
        self._off = False
        self.counts = Counts()

    @property
    def void(self) -> str:
        """Say that the shares are off."""
        if not self._off:
            return ""
        ours, theirs = self.counts.canary, self.counts.baseline
        return f"the canary got {ours} of {ours + theirs} users, but its share is {self._guard.share:g}"

    def feed(self, canary: Arm, baseline: Arm, elapsed_s: float) -> bool:
        """Take one tick."""
        many = canary.users + baseline.users
        if many and not self._off:
            self.counts = self.counts.plus(canary.users, 0, baseline.users, 0)
            for k, odds in enumerate(ODDS):
                self._steps[k] += canary.users * math.log(odds) - many * math.log1p(self._guard.share * (odds - 1.0))
            self._off = max(self._steps) >= math.log(len(ODDS) / self._guard.alpha)
        return many > 0

    def state(self) -> dict[str, Any]:
        """Return all that the future depends on."""
        return {"steps": self._steps, "off": self._off, "counts": list(self.counts)}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a state again."""
        self._steps, self._off, self.counts = list(state["steps"]), state["off"], Counts(*state["counts"])
