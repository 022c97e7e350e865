"""The rules that are in use today, each as (streams) -> second of the rollback, or None."""

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
from streams import Streams

Rule = Callable[[Streams], "int | None"]
ALPHA = 0.01


def windows(values: np.ndarray, width: int) -> np.ndarray:
    count = len(values) // width
    return values[: count * width].reshape(count, width).sum(1)


def first(mask: np.ndarray, scale: int = 1) -> int | None:
    index = int(np.argmax(mask)) if mask.size else 0
    return (index + 1) * scale if mask.size and mask[index] else None


def argo(threshold: float, limit: int = 3) -> Rule:
    """Argo Rollouts: success of the canary per minute; fails when more than `limit` minutes were below."""

    def rule(streams: Streams) -> int | None:
        requests, bad = windows(streams.canary, 60), windows(streams.canary_bad, 60)
        below = (requests > 0) & (1 - bad / np.maximum(requests, 1) < threshold)
        return first(np.cumsum(below) > limit, 60)

    return rule


def flagger(threshold: float = 0.99, limit: int = 5) -> Rule:
    """Flagger: a failed minute adds one, never subtracted; no data fails; the tick after the limit rolls back."""

    def rule(streams: Streams) -> int | None:
        requests, bad = windows(streams.canary, 60), windows(streams.canary_bad, 60)
        failed = (requests == 0) | (1 - bad / np.maximum(requests, 1) < threshold)
        when = first(np.cumsum(failed) >= limit, 60)
        return None if when is None or when + 60 > len(streams.canary) else when + 60

    return rule


def kayenta(every_s: int = 300, step: int = 60) -> Rule:
    """Kayenta's Mann-Whitney judge on a bad rate per minute, judged again on the growing window."""
    quantile = NormalDist().inv_cdf(0.99)

    def rule(streams: Streams) -> int | None:
        ours = windows(streams.canary_bad, step) / np.maximum(windows(streams.canary, step), 1)
        theirs = windows(streams.baseline_bad, step) / np.maximum(windows(streams.baseline, step), 1)
        for end in range(every_s // step, min(len(ours), 240) + 1, every_s // step):
            x, y = ours[:end], theirs[:end]
            pairs = np.sort((x[:, None] - y[None, :]).ravel())
            spread = math.sqrt(len(pairs) * (2 * end + 1) / 12)
            low = pairs[int(np.clip(math.floor(len(pairs) / 2 - quantile * spread), 0, len(pairs) - 1))]
            if low > 0.25 * abs(np.median(pairs)) and x.mean() >= y.mean():
                return end * step
        return None

    return rule


def z_each_minute(alpha: float = ALPHA) -> Rule:
    """A z-test of two rates, repeated every minute: the mistake of peeking."""
    quantile = NormalDist().inv_cdf(1 - alpha)

    def rule(streams: Streams) -> int | None:
        parts = (streams.canary, streams.canary_bad, streams.baseline, streams.baseline_bad)
        n, c, m, b = (np.cumsum(windows(part, 60)).astype(float) for part in parts)
        pool = (c + b) / np.maximum(n + m, 1)
        error = np.sqrt(np.maximum(pool * (1 - pool) * (1 / np.maximum(n, 1) + 1 / np.maximum(m, 1)), 1e-30))
        return first(((c / np.maximum(n, 1) - b / np.maximum(m, 1)) / error > quantile) & (c >= 5), 60)

    return rule


def lindon_malek(alpha: float = ALPHA, k: float = 10.0) -> Rule:
    """The Bayes factor of counts (Lindon & Malek 2022) with a nominal share, as Netflix uses it."""
    lgamma = np.vectorize(math.lgamma, otypes=[float])

    def rule(streams: Streams) -> int | None:
        at = np.flatnonzero(streams.canary_bad + streams.baseline_bad)
        if not len(at):
            return None
        w, a, b = streams.split, k * streams.split, k * (1 - streams.split)
        ours, theirs = np.cumsum(streams.canary_bad)[at], np.cumsum(streams.baseline_bad)[at]
        start = math.lgamma(a) + math.lgamma(b) - math.lgamma(k)
        log = lgamma(a + ours) + lgamma(b + theirs) - lgamma(k + ours + theirs) - start
        log -= ours * math.log(w) + theirs * math.log1p(-w)
        hit = (log >= math.log(1 / alpha)) & (ours > w * (ours + theirs))
        when = first(hit)
        return None if when is None else int(at[when - 1]) + 1

    return rule


def known_rate(ratio: float, p: float, alpha: float = ALPHA) -> Rule:
    """Wald's test against a stored baseline rate: what swings of the day do to it."""

    def rule(streams: Streams) -> int | None:
        bad = streams.canary_bad
        good = streams.canary - bad
        log = bad * math.log(ratio) + good * (math.log1p(-ratio * p) - math.log1p(-p))
        return first(np.cumsum(log) >= math.log(1 / alpha))

    return rule


def oracle(ratio: float, alpha: float = ALPHA) -> Rule:
    """Wald's test that is told the true ratio, against the concurrent baseline: what all others are measured by."""

    def rule(streams: Streams) -> int | None:
        share = streams.canary / np.maximum(streams.canary + streams.baseline, 1)
        bad = streams.canary_bad
        log = bad * math.log(ratio) - (bad + streams.baseline_bad) * np.log1p(share * (ratio - 1))
        return first(np.cumsum(log) >= math.log(1 / alpha))

    return rule
