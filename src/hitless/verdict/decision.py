"""What a verdict says after a tick, with its numbers."""

import math
from collections.abc import Callable
from typing import NamedTuple

from hitless.verdict.guard import Counts

CONFIDENCE = 0.95
NEVER = 1e-15  # a part as small as this is none


class Ratio(NamedTuple):
    """How many times as often the canary is bad, with an interval that holds at every look, not only at one."""

    value: float
    low: float
    high: float


class Decision:
    """`kind` is "continue", "roll back", "promote" or "hold"; the two in the middle are final.

    `guard` is the one with the most evidence, `e_value` the evidence against the canary: it rolls back at 1/alpha, and
    more than that is not counted. `ratio` is that guard's bad rates, `users_needed` about how many more canary requests
    decide if the ratio is what it seems, or, where the baseline had nothing bad, at the pace so far; None while nothing
    points to worse.
    """

    __slots__ = ("_counts", "_null", "_threshold", "e_value", "guard", "kind", "reason")

    def __init__(
        self, kind: str, guard: str, reason: str, e_value: float, counts: Counts, threshold: float, null: float
    ) -> None:
        self.kind, self.guard, self.reason, self.e_value = kind, guard, reason, e_value
        self._counts, self._threshold, self._null = counts, threshold, null

    def __repr__(self) -> str:
        return f"Decision({self.kind!r}, guard={self.guard!r}, e_value={self.e_value:.4g}, reason={self.reason!r})"

    def parts(self) -> tuple[Counts, float, float]:
        """Return what `ratio` and `users_needed` are made from."""
        return self._counts, self._threshold, self._null

    @property
    def users(self) -> Counts:
        """What was counted in both arms so far."""
        return self._counts

    @property
    def ratio(self) -> Ratio | None:
        """The ratio of bad rates with its 95 % interval; None while one arm is empty or nothing was bad."""
        return ratio_of(self._counts)

    @property
    def users_needed(self) -> int | None:
        """About how many more canary requests decide, if it goes on so; None while nothing points to worse."""
        return _needed(self._counts, self.e_value, self._threshold, self._null)


def ratio_of(counts: Counts) -> Ratio | None:
    """Return the ratio of bad rates and a confidence sequence for it (beta mixture of the conditional binomial).

    The value is that of Mantel & Haenszel (1959), each second a stratum. The interval is exact while the share stays;
    where it changes, it is that of the one share with which the counts give the same value.
    """
    bad, against = counts.canary_bad, counts.baseline_bad
    if not counts.canary or not counts.baseline or not bad + against:
        return None
    value = math.inf if not counts.theirs else counts.ours / counts.theirs
    share = _share(counts)
    most = math.lgamma(bad + 0.5) + math.lgamma(against + 0.5) - math.lgamma(bad + against + 1.0) - math.log(math.pi)
    least = most + math.log(1.0 - CONFIDENCE)
    seen = min(max(bad / (bad + against), NEVER), 1.0 - NEVER)

    def inside(part: float) -> bool:
        return bad * math.log(part) + against * math.log1p(-part) >= least

    low = 0.0 if not bad else _edge(inside, NEVER, seen)
    high = 1.0 if not against else _edge(inside, 1.0 - NEVER, seen)
    return Ratio(value, _ratio(low, share), _ratio(high, share))


def _share(counts: Counts) -> float:
    """Return the canary's part of the requests, as it was when something was bad."""
    bad, against = counts.canary_bad, counts.baseline_bad
    if not bad + against:
        return counts.canary / (counts.canary + counts.baseline)
    where_theirs = counts.theirs / against if against else 1.0 - counts.ours / bad
    where_ours = 1.0 - counts.ours / bad if bad else where_theirs
    return where_theirs / (where_theirs + 1.0 - where_ours)


def _edge(inside: Callable[[float], bool], outer: float, inner: float) -> float:
    for _ in range(60):
        middle = (outer + inner) / 2
        if inside(middle):
            inner = middle
        else:
            outer = middle
    return outer


def _ratio(part: float, share: float) -> float:
    if part >= 1.0:
        return math.inf
    return part / (1.0 - part) * (1.0 - share) / share


def _needed(counts: Counts, e_value: float, threshold: float, null: float) -> int | None:
    ratio = ratio_of(counts)
    if ratio is None or ratio.value <= null:
        return None
    missing = math.log(threshold) - math.log(max(e_value, 1e-300))
    if missing <= 0.0:
        return 0
    if math.isinf(ratio.value):  # no rate to reckon with: evidence grows with the requests, in logarithms
        return math.ceil(counts.canary * missing / math.log(e_value)) if e_value > 1.0 else None
    share, rate = _share(counts), counts.baseline_bad / counts.baseline
    seen = ratio.value / null
    mean = 1.0 + share * (seen - 1.0)
    nats = rate * null * (seen * math.log(seen) - mean * math.log(mean) / share)
    return math.ceil(missing / nats) if nats > 0.0 else None
