"""The mirrored bet, on "the canary is not as bad as the limit": what a promotion rests on."""

import math
from collections.abc import Sequence

RATIOS = (1.0, 1.25, 0.8, 0.5)
MOST = 1e100  # wealth that is kept; from there it still falls


class Fine:
    """A supermartingale from 1 under "ratio >= limit": (g/r1)^c ((1 + w(r1-1)) / (1 + w(g-1)))^(c+b) over ratios g."""

    __slots__ = ("_limit", "_ratios", "x")

    def __init__(self, limit: float, ratios: Sequence[float] = RATIOS) -> None:
        self._limit = limit
        self._ratios = tuple(ratio for ratio in ratios if ratio < limit)
        self.x = [1.0 / len(self._ratios)] * len(self._ratios)

    @property
    def wealth(self) -> float:
        """The evidence that the canary is better than the limit."""
        return math.fsum(self.x)

    def feed(self, canary: int, bad: int, baseline: int, baseline_bad: int) -> None:
        """Take the counts of one tick in which both arms had requests."""
        share, events = canary / (canary + baseline), bad + baseline_bad
        limit, lost = math.log(self._limit), math.log1p(share * (self._limit - 1.0))
        for k, ratio in enumerate(self._ratios):
            step = bad * (math.log(ratio) - limit) - events * (math.log1p(share * (ratio - 1.0)) - lost)
            self.x[k] = min(self.x[k] * math.exp(min(step, 600.0)), MOST)
