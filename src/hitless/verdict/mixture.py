"""The wealth of one bet on "the canary is worse": a mixture over how much worse, and since when."""

import math
from collections.abc import Sequence
from typing import Any

from hitless.verdict.boundary import Refund, Sizes, highest, refund, weights_of

AT_ONCE = 0.96  # of the stake is bet on "bad from the beginning", the rest on every later moment
ONSET_S = 600.0  # later moments are equally likely on a logarithmic scale that begins here
MOST = 600.0  # nats that one tick may bring; more would not change a decision
LEAST = 1e-290  # wealth below this is none
PACE_S = 5.0  # new moments come into play at this pace
EXACT = 60  # bad events that are expected, up to which, where they are common, the law of a tick is summed as it is
SCARCE = 0.3  # squared bad events per canary request from which on it matters that each can be bad only once
EXACT_REFUND = 40  # bad events of a tick up to which a tolerated ratio's law is summed


class Starts:
    """How much of the stake is in play after some seconds: never all at once, and never more than all of it."""

    def __init__(self, horizon_s: float, at_once: float = AT_ONCE) -> None:
        self._at_once = at_once
        self._scale = (1.0 - at_once) / math.log1p(horizon_s / ONSET_S)
        self._horizon_s = horizon_s

    def by(self, elapsed_s: float) -> float:
        """Return the part of the stake that is in play `elapsed_s` seconds after the first tick."""
        if elapsed_s >= self._horizon_s:
            return 1.0
        return self._at_once + self._scale * math.log1p(elapsed_s / ONSET_S)


class Stake:
    """The parts of the wealth, one per alternative, and what is not yet in play."""

    __slots__ = ("_due_s", "_later", "_prior", "_starts", "left", "put", "rest", "wealth", "x")

    def __init__(self, prior: Sequence[float], starts: Starts, later: Sequence[float] = ()) -> None:
        """Take the part of each alternative in what is in play at once, and in what follows (none: the same)."""
        self._prior, self._later, self._starts = tuple(prior), tuple(later or prior), starts
        self._due_s = -math.inf  # when more comes into play
        self.x = [0.0] * len(self._prior)
        self.left = [1.0] * len(self._prior)  # of each part: what would be there without the first bad user
        self.rest, self.put = 1.0, 0.0
        self.wealth = 1.0  # the evidence: all parts and the rest

    def start(self, elapsed_s: float) -> None:
        """Put into play what is due by now."""
        if elapsed_s < self._due_s:
            return
        self._due_s = elapsed_s + PACE_S
        due = self._starts.by(elapsed_s)
        fresh = min(due - self.put, self.rest)
        if fresh > 0.0:
            parts = self._later if self.put else self._prior
            self.put = due
            self.rest -= fresh
            self.x = [x + part * fresh for x, part in zip(self.x, parts, strict=True)]
            self.left = [
                left + (1.0 - left) * (part * fresh / new) if new else 1.0
                for left, part, new in zip(self.left, parts, self.x, strict=True)
            ]

    def set(self, parts: list[float]) -> None:
        """Replace the parts in play."""
        self.x = parts
        self.wealth = sum(parts) + self.rest

    def multiply(self, steps: Sequence[float]) -> None:
        """Multiply each part by e to the power of its step."""
        self.set([_kept(x * math.exp(min(step, MOST))) for x, step in zip(self.x, steps, strict=True)])

    def state(self) -> dict[str, Any]:
        """Return all that the future depends on."""
        return {
            "x": self.x,
            "left": self.left,
            "rest": self.rest,
            "put": self.put,
            "due": self._due_s,
            "wealth": self.wealth,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a state again."""
        self.x, self.left, self.rest, self.put = list(state["x"]), list(state["left"]), state["rest"], state["put"]
        self._due_s, self.wealth = state["due"], state["wealth"]


def _kept(x: float) -> float:
    return x if x > LEAST else 0.0


def once_only(events: int, share: float, leans: Sequence[float], scarcity: float) -> list[float]:
    """Return, for each lean r-1, an upper bound of ln E[r^c], c of m events the canary's, hypergeometric law.

    E[(1+x)^c] = sum_j C(m,j) x^j (n_c)_j/(n)_j, and (n_c)_j/(n)_j <= w^j exp(-d j(j-1)/2) with d = 1/n_c - 1/n; so it
    is at most (1 + wx)^m E[exp(-d J(J-1)/2)] for J binomial with m and wx/(1+wx), and exp(-y) <= 1 - y + y^2/2.
    """
    pairs, half, eighth = events * (events - 1), scarcity / 2.0, scarcity * scarcity / 8.0
    fewer, fewest, log1p = events - 2, events - 3, math.log1p
    costs = []
    for lean in leans:
        tilt = share * lean
        cost = events * log1p(tilt)
        part = tilt / (1.0 + tilt)
        twice = pairs * part * part  # E[J(J-1)]
        first = half * twice
        if first <= 0.5:
            thrice = fewer * part
            saved = eighth * (twice * (thrice * fewest * part + 4.0 * thrice + 2.0)) - first  # E[(J(J-1))^2], E[J(J-1)]
            if saved < 0.0:
                cost += log1p(saved)
        costs.append(cost)
    return costs


class Mixture:
    """A supermartingale from 1 under "ratio <= tolerated", for any common rate, any share, any drift of both.

    For a ratio r, a tick with share w and null ratio r0 multiplies the wealth by
    (r/r0)^c ((1 + w(r0-1)) / (1 + w(r-1)))^(c+b), c and b the bad events of canary and baseline (Lindon & Malek 2022,
    conditional on the bad events of both; E <= 1 for Bernoulli requests too, since (1+x)^n <= exp(nx)). With r0 = 1 the
    second factor is nearer to the best, 1 / E[r^c] under the hypergeometric law, see `once_only`. The wealth is
    summed over ratios and starts; `cap` is where it fires alone, and what would jump over it is paid back.
    `Stake.left` says what of each part would be there if the canary's first bad user had not come, see `proof.py`.
    """

    def __init__(self, ratios: Sequence[float], stake: Stake, null: float, cap: float, least: int) -> None:
        self._ratios, self._null = tuple(ratios), null
        self._gain = tuple(math.log(ratio / null) for ratio in ratios)
        self._lean = tuple(ratio - 1.0 for ratio in ratios)
        self._cap, self._least = cap, least
        self._top = max(self._gain)  # no bad event adds more to the logarithm of the wealth
        self.stake = stake
        self.bad = 0  # of the canary, so far

    def feed(self, canary: int, bad: int, baseline: int, baseline_bad: int, rate: float | None = None) -> None:
        """Take the counts of one tick in which both arms had requests and at least one was bad.

        `rate` is a guess of the baseline's bad rate, made before this tick, where bad events are common.
        """
        sizes = Sizes(canary, baseline, bad + baseline_bad)
        if rate is None:
            law = self._costs
        elif self._null == 1.0 and min(rate * (canary + baseline), canary) <= EXACT:  # chosen before the tick is known
            law = self._exact_costs if min(sizes.bad, canary) <= 2 * EXACT else self._costs
        else:
            self._bet_on_rates(sizes, bad, rate)
            return
        costs = law(sizes)
        if bad and not self.bad:
            self._leave(costs, law(sizes._replace(bad=sizes.bad - 1)))
        self._bet(sizes, bad, costs)

    def _leave(self, costs: Sequence[float], without: Sequence[float]) -> None:
        """Note what this tick leaves of each part if its first bad user, the first of all, is taken out of it."""
        steps = zip(self.stake.left, self._gain, costs, without, strict=True)
        self.stake.left = [left * math.exp(cost - fewer - gain) for left, gain, cost, fewer in steps]

    def _costs(self, sizes: Sizes) -> list[float]:
        canary, baseline, events = sizes
        share, log1p = canary / (canary + baseline), math.log1p
        if self._null != 1.0:
            null = log1p(share * (self._null - 1.0))
            return [events * (log1p(share * lean) - null) for lean in self._lean]
        if events < 2 or events * events < SCARCE * canary:
            return [events * log1p(share * lean) for lean in self._lean]
        return once_only(events, share, self._lean, 1.0 / canary - 1.0 / (canary + baseline))

    def _exact_costs(self, sizes: Sizes) -> list[float]:
        terms = weights_of(sizes)
        first = max(0, sizes.bad - sizes.baseline)
        total, costs = math.fsum(terms), []
        for ratio, gain in zip(self._ratios, self._gain, strict=True):
            value = 0.0
            for term in reversed(terms):
                value = value * ratio + term
            costs.append(math.log(value / total) + first * gain)
        return costs

    def _bet(self, sizes: Sizes, bad: int, costs: Sequence[float]) -> None:
        back = self._refund(sizes, costs) if self._may_reach(sizes, costs) else None
        self.bad += bad
        after = self._moved(bad, costs)
        if back is not None and bad < back.crossing:
            after = self._paid_back(after, back, costs)
        if min(after) <= LEAST:
            after = [_kept(x) for x in after]
        self.stake.set(after)

    def _moved(self, bad: int, costs: Sequence[float]) -> list[float]:
        """Return the parts after a tick with so many bad events of the canary."""
        exp, parts = math.exp, zip(self.stake.x, self._gain, costs, strict=True)
        if bad * self._top <= MOST:  # no step is larger: costs are never negative
            return [x * exp(bad * gain - cost) for x, gain, cost in parts]
        return [x * exp(min(bad * gain - cost, MOST)) for x, gain, cost in parts]

    def _refund(self, sizes: Sizes, costs: Sequence[float]) -> Refund | None:
        if self._null != 1.0 and sizes.bad > EXACT_REFUND:
            return None
        rest, moved = self.stake.rest, self._moved
        return refund(
            lambda count: rest + sum(moved(count, costs)), self._cap, sizes, self._null, self._least - self.bad
        )

    def _may_reach(self, sizes: Sizes, costs: Sequence[float]) -> bool:
        """Tell whether any number of bad events that is worth the arithmetic might lift the wealth to the cap."""
        wealth, cap = self.stake.wealth, self._cap
        if wealth >= cap:  # it has been reached, and nothing is owed any more, unless it could not fire
            return self.bad < self._least
        if wealth * math.exp(min(self._top * sizes.bad, MOST)) < cap:
            return False
        needed, most = math.log(cap / wealth), highest(sizes, self._null)
        return max([most * gain - cost for gain, cost in zip(self._gain, costs, strict=True)]) >= needed

    def _paid_back(self, after: list[float], back: Refund, costs: Sequence[float]) -> list[float]:
        """Return the parts with the refund, in proportion to what each would have had above the cap."""
        owed = [0.0] * len(after)
        for step, (chance, excess) in enumerate(zip(back.chances, back.excess, strict=True)):
            count = back.crossing + step
            for k, x in enumerate(self.stake.x):
                owed[k] += chance * excess * x * math.exp(min(count * self._gain[k] - costs[k], MOST))
        total = math.fsum(owed)
        if total <= 0.0:
            return after
        paid = [x + back.amount * due / total for x, due in zip(after, owed, strict=True)]
        shrunk = zip(self.stake.left, after, paid, strict=True)  # no refund where the first bad user has not been
        self.stake.left = [left * x / more if more else left for left, x, more in shrunk]
        return paid

    def _bet_on_rates(self, sizes: Sizes, bad: int, rate: float) -> None:
        """Bet on guessed rates: q0 = w qc + (1-w) qb (Turner, Ly & Grunwald 2024), where errors are common.

        A tolerated ratio r0 thins the canary's bad events to 1/r0 of them; what stands here is the mean over that.
        """
        canary, baseline, events = sizes
        share, kept, steps, hits = canary / (canary + baseline), 1.0 / self._null, [], []
        for ratio in self._ratios:
            guess = min(rate * ratio * kept, (1.0 + rate) / 2.0)
            null = share * guess + (1.0 - share) * rate
            good = (1.0 - guess) / (1.0 - null)
            hit = kept * guess / null + (1.0 - kept) * good
            hits.append(hit)
            step = bad * math.log(hit) + (canary - bad) * math.log(good)
            against = events - bad
            steps.append(
                step + against * math.log(rate / null) + (baseline - against) * math.log((1.0 - rate) / (1.0 - null))
            )
        if bad and not self.bad:
            self.stake.left = [left / hit for left, hit in zip(self.stake.left, hits, strict=True)]
        self.bad += bad
        self.stake.multiply(steps)
