"""The guard of what the business lives on: do as many users convert as before?"""

from dataclasses import asdict, dataclass
from typing import Any

from hitless.verdict.errors import checked_limits, checked_names
from hitless.verdict.fine import Fine
from hitless.verdict.guard import Counts, Setting, Watch
from hitless.verdict.ticks import Arm, checked_numbers

RATIOS = (0.95, 0.9, 0.8, 0.5)  # of the conversions that must not be lost


@dataclass(frozen=True, slots=True)
class Business:
    """Users who convert, by closed cohorts: `requests` are users assigned, `bad` those that did not convert in time.

    `margin` is the part of the conversions that may be lost (0.02: two in a hundred). The counts stand in a place of
    the tick; a cohort is counted in the second in which its time to convert ends. Raises ValueError.
    """

    on: str
    margin: float = 0.02
    weight: float = 1.0
    name: str = "business"

    def __post_init__(self) -> None:
        checked_limits(1.0, None, self.weight)
        checked_names(self.name, self.on)
        checked_numbers(margin=self.margin)
        if not 0.0 <= self.margin < 1.0:
            raise ValueError(f"margin={self.margin} is no part of the conversions")

    def watch(self, setting: Setting) -> "BusinessWatch":
        """Begin to watch."""
        return BusinessWatch(1.0 - self.margin)

    def described(self) -> dict[str, Any]:
        """Return the arguments that make this guard again."""
        return asdict(self)


class BusinessWatch(Watch):
    """Follows the conversions of both arms; the bet is that on "fine", with conversions in the place of bad events."""

    def __init__(self, kept: float) -> None:
        self._fewer = Fine(kept, tuple(kept * ratio for ratio in RATIOS))
        self.counts = Counts()

    @property
    def worse(self) -> float:
        """Evidence that more conversions are lost than may be."""
        return self._fewer.wealth

    def feed(self, canary: Arm, baseline: Arm, elapsed_s: float) -> bool:
        """Take the cohorts that closed in this second."""
        if not (canary.requests and baseline.requests):
            return False
        self.counts = self.counts.plus(canary.requests, canary.bad, baseline.requests, baseline.bad)
        won, against = canary.requests - canary.bad, baseline.requests - baseline.bad
        self._fewer.feed(canary.requests, won, baseline.requests, against)
        return True

    def state(self) -> dict[str, Any]:
        """Return all that the future depends on."""
        return {"x": self._fewer.x, "counts": list(self.counts)}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a state again."""
        self._fewer.x, self.counts = list(state["x"]), Counts(*state["counts"])
