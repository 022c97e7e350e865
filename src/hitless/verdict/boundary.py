"""A boundary better than Ville's: what would jump over the threshold is paid back where it was not reached.

Ville's inequality gives away the overshoot: a bet that lands at 300 where 100 was asked for has paid for three alarms.
Given the number of bad events in a tick, the null law of those in the canary is known exactly, whatever the error
rate is. So the expected overshoot of this tick is known before it happens, and the wealth of the outcomes that stay
below the threshold may be raised by exactly that much: the capped process is still a supermartingale, for any traffic,
any share, any drift, and needs no horizon (Fischer & Ramdas 2024, "Improving the (approximate) sequential probability
ratio test by avoiding overshoot", arXiv 2410.16076, there for known laws). Proof for this case: docs/verdict.md.
"""

import math
from collections.abc import Callable

SIGMAS = 3.5  # a threshold farther away than this is not worth the arithmetic; skipping is always valid
MOST_NONCENTRAL = 40  # bad events of a tick up to which the tolerated ratio's law is summed


def refund(
    wealth: Callable[[int], float], cap: float, sizes: tuple[int, int, int], odds: float = 1.0, least: int = 0
) -> tuple[float, int]:
    """Return what may be added to the wealth if the canary's bad events stay below the count returned with it.

    `wealth` tells the wealth after this tick for a number of bad events in the canary and never falls in it; `sizes`
    are canary requests, baseline requests and bad events of both. Under the null the canary's part is Fisher's
    noncentral hypergeometric with these `odds`, or stochastically smaller. Outcomes below `least` never fire.
    """
    canary, baseline, bad = sizes
    share = odds * canary / (odds * canary + baseline)
    mean = bad * share
    highest = min(bad, canary, math.ceil(mean + SIGMAS * math.sqrt(mean * (1 - share)) + 1))
    if highest < least or wealth(highest) < cap or (odds != 1.0 and bad > MOST_NONCENTRAL):
        return 0.0, highest + 1
    crossing = _first_reaching(wealth, cap, max(least, bad - baseline, 0), highest)
    law = _law(sizes, odds, crossing, highest)
    if not law or law[0] <= 0.0:
        return 0.0, highest + 1
    over = sum(chance * (wealth(crossing + step) - cap) for step, chance in enumerate(law))
    below = 1.0 - sum(law)
    return (over / below if below > 1e-9 else 0.0), crossing


def _first_reaching(wealth: Callable[[int], float], cap: float, low: int, high: int) -> int:
    while low < high:
        middle = (low + high) // 2
        if wealth(middle) >= cap:
            high = middle
        else:
            low = middle + 1
    return low


def _law(sizes: tuple[int, int, int], odds: float, first: int, last: int) -> list[float]:
    """Return the probabilities that `first`..`last` of the bad events are the canary's."""
    canary, baseline, bad = sizes
    if odds == 1.0:
        start, total = first, 1.0
        term = math.exp(_choose(canary, first) + _choose(baseline, bad - first) - _choose(canary + baseline, bad))
    else:
        start, total = max(0, bad - baseline), 0.0
        term = 1.0
    terms = []
    for k in range(start, (last if odds == 1.0 else min(bad, canary)) + 1):
        terms.append(term)
        term *= odds * (canary - k) * (bad - k) / ((k + 1) * (baseline - bad + k + 1))
    if odds != 1.0:
        total = sum(terms)
        terms = terms[first - start : last - start + 1]
    return [each / total for each in terms]


def _choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
