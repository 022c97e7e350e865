"""What a verdict says after a tick, with its numbers."""

import math
from collections.abc import Callable
from typing import NamedTuple

from hitless.verdict.guard import PACE, Counts

CONFIDENCE = 0.95
SUPPOSED = 2.0  # times what is tolerated: where nothing points to worse, what a canary twice as bad would still need
COMMON = 0.03  # a bad rate from which on it matters that a request is bad only once
LEAST_BET = 1.5  # times what is tolerated: nothing bets on less
FINAL = ("roll back", "promote")
NEVER = 1e-15  # a part as small as this is none


class Ratio(NamedTuple):
    """How many times as often the canary is bad, with an interval that holds at every look, not only at one."""

    value: float
    low: float
    high: float


class Needed(NamedTuple):
    """How many more requests of the canary would decide.

    If it goes on as it was seen, or, where nothing points to worse, if the canary were `supposed` times as bad: twice
    what is tolerated. `at_least`: nothing was bad in either arm, so the number stands for the highest bad rate that
    this allows, and with fewer bad it takes more.
    """

    requests: int
    supposed: float | None = None
    at_least: bool = False


class Decision:
    """`kind` is "continue", "roll back", "promote" or "hold"; the two in the middle are final.

    `guard` is the one with the most evidence, the first one of all while none has any; `e_value` is the evidence
    against the canary: it rolls back at 1/alpha, and more than that is not counted. `ratio` is that guard's bad rates,
    `users_needed` about how many more canary requests decide, and `needed` says under what supposition.
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
    def bad_below(self) -> float | None:
        """The bad rate that the canary is below with 95 %, if none of its requests was bad yet, else None."""
        canary, bad = self._counts[:2]
        counts_bad = self._null != PACE and not math.isinf(self._null)
        return _highest(canary) if counts_bad and canary and not bad else None

    @property
    def needed(self) -> Needed | None:
        """What it still takes; None while one arm is empty, and where this guard cannot say it in requests."""
        if self.kind in FINAL:
            return Needed(0)
        return _needed(self._counts, self.e_value, self._threshold, self._null)

    @property
    def users_needed(self) -> int | None:
        """About how many more canary requests decide, see `needed`."""
        return None if (needed := self.needed) is None else needed.requests


def ratio_of(counts: Counts) -> Ratio | None:
    """Return the ratio of bad rates and a confidence sequence for it (beta mixture of the conditional binomial).

    The value is that of Mantel & Haenszel (1959), each second a stratum. The interval is exact while the share stays;
    where it changes, it is that of the one share with which the counts give the same value. Where bad requests are
    `COMMON` in both arms it is near that: at a rate p a count varies by 1 - p of what rare ones do, and is weighed by
    1/(1-p), p the smaller rate.
    """
    bad, against = counts.canary_bad, counts.baseline_bad
    if not counts.canary or not counts.baseline or not bad + against:
        return None
    value = math.inf if not counts.theirs else counts.ours / counts.theirs
    share = _share(counts)
    both = min(bad / counts.canary, against / counts.baseline)
    worth = 1.0 if both < COMMON else 1.0 / max(1.0 - both, 1.0 / counts.canary)
    most = math.lgamma(bad * worth + 0.5) + math.lgamma(against * worth + 0.5)
    most -= math.lgamma((bad + against) * worth + 1.0) + math.log(math.pi)
    least = most + math.log(1.0 - CONFIDENCE)
    seen = min(max(bad / (bad + against), NEVER), 1.0 - NEVER)

    def inside(part: float) -> bool:
        return worth * (bad * math.log(part) + against * math.log1p(-part)) >= least

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


def _highest(requests: int) -> float:
    """Return the rate at which so many requests without a bad one have a probability of 5 %; right at every look."""
    return -math.expm1(math.log(1.0 - CONFIDENCE) / requests)


def _needed(counts: Counts, e_value: float, threshold: float, null: float) -> Needed | None:
    canary, bad, baseline, against = counts[:4]
    if not canary or not baseline or not e_value or math.isinf(null):
        return None
    missing = math.log(threshold) - math.log(e_value)
    if missing <= 0.0:
        return Needed(0)
    if null != PACE and counts.theirs:
        seen = counts.ours / counts.theirs
        nats = _nats(seen, max(seen, LEAST_BET * null), against / baseline, _share(counts), null)
        return Needed(math.ceil(missing / nats)) if nats > 0.0 else _supposed(counts, missing, null)
    if e_value > 1.0 and (bad or null == PACE):  # no rate to reckon with, but evidence: its logarithm grows steadily
        return Needed(math.ceil(canary * missing / math.log(e_value)))
    return None if null == PACE else _supposed(counts, missing, null)


def _supposed(counts: Counts, missing: float, null: float) -> Needed | None:
    """Return what a canary twice as bad as is tolerated would need, or one half of whose good requests turned bad."""
    canary, bad, baseline, against = counts[:4]
    rate = (bad + against) / (canary + baseline) or _highest(canary + baseline)
    ratio = min(SUPPOSED * null, (1.0 + rate) / 2.0 / rate)
    nats = _nats(ratio, ratio, rate, _share(counts), null) if ratio > null else 0.0
    return Needed(math.ceil(missing / nats), ratio, at_least=not bad + against) if nats > 0.0 else None


def _nats(seen: float, bet: float, rate: float, share: float, null: float) -> float:
    """Return the evidence that a canary request brings to a bet on the ratio `bet` if the ratio is `seen`.

    `nats_per_request` where both are the same. Frequent errors bring more, see Turner, Ly & Grunwald 2024: the relative
    entropy of both arms to their mixture.
    """
    mean = 1.0 + share * (seen - 1.0)
    cost = math.log1p(share * (bet - 1.0)) - math.log1p(share * (null - 1.0))
    nats = rate * (seen * math.log(bet / null) - mean * cost / share)
    if null != 1.0 or bet != seen or rate * seen >= 1.0:
        return nats
    mixed = rate * mean
    return max(nats, _entropy(rate * seen, mixed) + (1.0 - share) / share * _entropy(rate, mixed))


def _entropy(rate: float, other: float) -> float:
    return rate * math.log(rate / other) + (1.0 - rate) * (math.log1p(-rate) - math.log1p(-other))
