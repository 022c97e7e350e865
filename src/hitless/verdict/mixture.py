"""The wealth of one bet on "the canary is worse": a mixture over how much worse, and since when."""

import math
from collections.abc import Sequence

from hitless.verdict.boundary import refund

STARTED = 0.8  # of the stake is bet on "bad from the beginning", the rest on every later moment
ONSET_S = 60.0  # moments are equally likely on a logarithmic scale that begins here


class Starts:
    """How much of the stake is in play after some seconds: never all at once, and never more than all of it."""

    def __init__(self, horizon_s: float, at_once: float = STARTED) -> None:
        self._at_once, self._later = at_once, 1.0 - at_once
        self._scale = self._later / math.log1p(max(horizon_s, ONSET_S) / ONSET_S)
        self.horizon_s = horizon_s

    def by(self, elapsed_s: float) -> float:
        """Return the part of the stake that is in play `elapsed_s` seconds after the first tick."""
        if elapsed_s >= self.horizon_s:
            return 1.0
        return self._at_once + self._scale * math.log1p(elapsed_s / ONSET_S)


class Mixture:
    """A supermartingale from 1 under "ratio <= tolerated", for any common rate, any share, any drift of both.

    For a ratio r, a tick with share w and null ratio r0 multiplies the wealth by
    (r/r0)^c ((1 + w(r0-1)) / (1 + w(r-1)))^(c+b), c and b the bad events of canary and baseline (Lindon & Malek 2022,
    conditional on the bad events of both; E <= 1 for Bernoulli requests too, since (1+x)^n <= exp(nx)). The wealth is
    the sum over ratios and start times; `cap` is where it fires alone, and what would jump over it is paid back.
    """

    __slots__ = ("_cap", "_gain", "_lean", "_least", "_null", "_prior", "_ratios", "_starts", "bad", "put", "rest", "x")

    def __init__(
        self, ratios: Sequence[float], prior: Sequence[float], null: float, cap: float, starts: Starts, least: int
    ) -> None:
        self._ratios, self._prior, self._null = tuple(ratios), tuple(prior), null
        self._gain = tuple(math.log(ratio / null) for ratio in ratios)
        self._lean = tuple(ratio - 1.0 for ratio in ratios)
        self._cap, self._starts, self._least = cap, starts, least
        self.x = [0.0] * len(self._ratios)  # wealth in play, by ratio
        self.rest = 1.0  # not yet in play
        self.put = 0.0  # of the stake, so far
        self.bad = 0  # of the canary, so far

    @property
    def wealth(self) -> float:
        """The evidence; it is that of a fair game if the canary is no worse."""
        return math.fsum(self.x) + self.rest

    def start(self, elapsed_s: float) -> None:
        """Put into play what is due by now."""
        due = self._starts.by(elapsed_s)
        fresh, self.put = due - self.put, due
        if fresh > 0.0 and self.rest > 0.0:
            fresh = min(fresh, self.rest)
            self.rest -= fresh
            self.x = [x + prior * fresh for x, prior in zip(self.x, self._prior, strict=True)]

    def feed(self, canary: int, bad: int, baseline: int, baseline_bad: int) -> None:
        """Take the counts of one tick in which both arms had requests and at least one was bad."""
        share, events = canary / (canary + baseline), bad + baseline_bad
        null = math.log1p(share * (self._null - 1.0))
        costs = [events * (math.log1p(share * lean) - null) for lean in self._lean]
        before = self.x
        stakes = [(x, gain, cost) for x, gain, cost in zip(before, self._gain, costs, strict=True) if x > 0.0]

        def wealth(count: int) -> float:
            return sum([x * math.exp(min(count * gain - cost, 600.0)) for x, gain, cost in stakes]) + self.rest

        sizes = (canary, baseline, events)
        back, crossing = refund(wealth, self._cap, sizes, self._null, self._least - self.bad)
        self.bad += bad
        after = [
            x * math.exp(min(bad * gain - cost, 600.0)) for x, gain, cost in zip(before, self._gain, costs, strict=True)
        ]
        if back > 0.0 and bad < crossing:
            total = math.fsum(after)
            if total > 0.0:
                after = [x * (1.0 + back / total) for x in after]
            else:
                self.rest += back
        self.x = [x if x > 1e-290 else 0.0 for x in after]
