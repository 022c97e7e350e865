"""A boundary better than Ville's: what would jump over the threshold is paid back where it was not reached.

Ville's inequality gives away the overshoot: a bet that lands at 300 where 100 was asked for has paid for three alarms.
Given the number of bad events in a tick, the null law of those in the canary is known exactly, whatever the error
rate is. So the expected overshoot of this tick is known before it happens, and the wealth of the outcomes that stay
below the threshold may be raised by exactly that much: the capped process is still a supermartingale, for any traffic,
any share, any drift, and needs no horizon (Fischer & Ramdas 2024, "Improving the (approximate) sequential probability
ratio test by avoiding overshoot", arXiv 2410.16076, there for known laws). The proof for this case is in
docs/verdict.md.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

MOST_REQUESTS = 10**8  # in one tick, up to which the arithmetic is exact and quick enough; skipping is always valid
MUCH = 1e100  # numbers in proportion are scaled down from here
SIGMAS = 3.5  # a threshold farther away than this is not worth the arithmetic; skipping is always valid


class Sizes(NamedTuple):
    """Requests of both arms in one tick, and how many of all of them were bad."""

    canary: int
    baseline: int
    bad: int


class Refund(NamedTuple):
    """What may be added to the wealth if fewer than `crossing` of the bad events are the canary's."""

    amount: float
    crossing: int
    chances: tuple[float, ...]  # of `crossing`, `crossing + 1`, ... bad events in the canary
    excess: tuple[float, ...]  # the part of the wealth above the cap, in each of these cases


def highest(sizes: Sizes, odds: float) -> int:
    """Return the largest number of bad events in the canary that is worth the arithmetic."""
    canary, baseline, bad = sizes
    share = odds * canary / (odds * canary + baseline)
    mean = bad * share
    most = math.ceil(mean + SIGMAS * math.sqrt(mean * (1.0 - share)) + 1.0)
    return most if most <= bad and most <= canary else min(bad, canary)


def refund(
    wealth: Callable[[int], float], cap: float, sizes: Sizes, odds: float = 1.0, least: int = 0
) -> Refund | None:
    """Return the expected overshoot of a tick, spread over the outcomes that stay below the cap; None for nothing.

    `wealth` tells the wealth after this tick for a number of bad events in the canary and never falls in it. Under the
    null the canary's part is Fisher's noncentral hypergeometric with these `odds`, or stochastically smaller. Outcomes
    below `least` never fire and are not cut.
    """
    if sizes.canary + sizes.baseline > MOST_REQUESTS:
        return None
    most = highest(sizes, odds)
    if most < least or wealth(most) < cap:
        return None
    crossing = _first_reaching(wealth, cap, max(least, sizes.bad - sizes.baseline, 0), most)
    chances = chances_of(sizes, odds, crossing, most)
    below = 1.0 - math.fsum(chances)
    if below < 1e-9:
        return None
    levels = [wealth(count) for count in range(crossing, most + 1)]
    over = math.fsum(chance * (level - cap) for chance, level in zip(chances, levels, strict=True))
    return Refund(over / below, crossing, tuple(chances), tuple((level - cap) / level for level in levels))


def _first_reaching(wealth: Callable[[int], float], cap: float, low: int, high: int) -> int:
    while low < high:
        middle = (low + high) // 2
        if wealth(middle) >= cap:
            high = middle
        else:
            low = middle + 1
    return low


def chances_of(sizes: Sizes, odds: float, first: int, last: int) -> list[float]:
    """Return the probabilities that `first`..`last` of the bad events are the canary's.

    For odds 1 that is the hypergeometric law of Fisher's exact test, else his noncentral one.
    """
    canary, baseline, bad = sizes
    if odds != 1.0:
        start = max(0, bad - baseline)
        terms = weights_of(sizes, odds)
        total = math.fsum(terms)
        return [each / total for each in terms[first - start : last - start + 1]]
    term = math.exp(_choose(canary, first) + _choose(baseline, bad - first) - _choose(canary + baseline, bad))
    terms = []
    for k in range(first, last + 1):
        terms.append(term)
        term *= (canary - k) * (bad - k) / ((k + 1) * (baseline - bad + k + 1))
    return terms


def weights_of(sizes: Sizes, odds: float = 1.0) -> list[float]:
    """Return numbers in proportion to the chances of every possible part of the canary, from the smallest on."""
    canary, baseline, bad = sizes
    start, last = max(0, bad - baseline), min(bad, canary)
    term, terms = 1.0, [1.0]
    for k in range(start, last):
        term *= odds * (canary - k) * (bad - k) / ((k + 1) * (baseline - bad + k + 1))
        terms.append(term)
        if term > MUCH:
            term, terms = 1.0, [each / term for each in terms]
    return terms


def _choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
