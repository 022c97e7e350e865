"""How much likelier each latency is if the canary is slower, in a few guesses made from the baseline's own past."""

import math
from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from hitless.verdict.buckets import EDGES

QUANTILES = (0.2, 0.4, 0.6, 0.75, 0.85, 0.92, 0.96, 0.98, 0.99, 0.995, 0.998, 0.9995)  # bounds of the groups
SHIFTS = (1.05, 1.1, 1.25, 1.5, 2.0)  # everything slower by so much
CUTS = (0.9, 0.96)  # or only what is slower than this quantile of the baseline,
STRETCHES = (1.15, 1.5, 2.5)  # so that the watched quantile moves by so much
SMOOTHING = 0.02  # requests added to each bucket


class Groups(NamedTuple):
    """A partition of the buckets, and per alternative how much likelier the canary is in each group."""

    of_bucket: tuple[int, ...]  # bucket -> group
    gains: tuple[tuple[float, ...], ...]  # alternative -> group -> logarithm of the likelihood ratio, never falling
    leans: tuple[tuple[float, ...], ...]  # the same, ratio - 1


def weights() -> tuple[float, ...]:
    """Return the part of the stake on each alternative, in the order of `guesses`."""
    tails = len(CUTS) * len(STRETCHES)
    return (0.35 / len(SHIFTS),) * len(SHIFTS) + (0.65 / tails,) * tails


def guesses(past: Sequence[float], at: float) -> Groups:
    """Return the alternatives for a baseline whose past histogram is `past`, with the quantile `at` watched."""
    smooth = [many + SMOOTHING for many in past]
    total = math.fsum(smooth)
    below = [0.0]  # share of requests up to each edge
    for many in smooth[:-1]:
        below.append(below[-1] + many / total)
    below = [*below[1:], 1.0]
    bounds = sorted({min(bisect_left(below, q), len(below) - 2) for q in QUANTILES})
    of_bucket = tuple(bisect_left(bounds, bucket) for bucket in range(len(past)))
    base = _grouped(below, bounds)
    ratios = [_ratios(base, [_share_below(below, edge / slower) for edge in EDGES], bounds) for slower in SHIFTS]
    watched = _quantile(below, at)
    for cut in CUTS:
        knee = _quantile(below, min(cut, at - (1 - at)))
        for stretch in STRETCHES:
            factor = max((stretch * watched - knee) / max(watched - knee, 1e-9), 1.0)
            moved = [_share_below(below, e if e <= knee else knee + (e - knee) / factor) for e in EDGES]
            ratios.append(_ratios(base, moved, bounds))
    gains = tuple(tuple(math.log(ratio) for ratio in each) for each in ratios)
    return Groups(of_bucket, gains, tuple(tuple(ratio - 1.0 for ratio in each) for each in ratios))


def _grouped(below: Sequence[float], bounds: Sequence[int]) -> list[float]:
    upto = [*(below[bound] for bound in bounds), 1.0]
    return [upto[0], *(b - a for a, b in pairwise(upto))]


def _ratios(base: Sequence[float], moved: Sequence[float], bounds: Sequence[int]) -> tuple[float, ...]:
    raw = _grouped([*moved, 1.0], bounds)
    mixed = [0.99 * max(a, 0.0) + 0.01 * b for a, b in zip(raw, base, strict=True)]
    return _rising(mixed, base)


def _rising(canary: Sequence[float], baseline: Sequence[float]) -> tuple[float, ...]:
    """Return canary/baseline made non-decreasing by pooling neighbours, so that a faster canary never looks worse."""
    blocks: list[tuple[float, float, int]] = []
    for c, b in zip(canary, baseline, strict=True):
        block = (c, max(b, 1e-12), 1)
        while blocks and blocks[-1][0] * block[1] >= block[0] * blocks[-1][1]:
            last = blocks.pop()
            block = (last[0] + block[0], last[1] + block[1], last[2] + block[2])
        blocks.append(block)
    return tuple(c / b for c, b, size in blocks for _ in range(size))


def _quantile(below: Sequence[float], q: float) -> float:
    """Return the latency in ms that a share `q` of the requests stays below."""
    bucket = min(bisect_left(below, q), len(EDGES) - 1)
    low = below[bucket - 1] if bucket else 0.0
    part = (q - low) / max(below[bucket] - low, 1e-12)
    upper = EDGES[bucket]
    return float(upper * 1.1 ** (min(max(part, 0.0), 1.0) - 1.0))


def _share_below(below: Sequence[float], ms: float) -> float:
    """Return the share of requests faster than `ms`, log-linear inside a bucket."""
    if ms <= EDGES[0] / 1.1:
        return 0.0
    place = math.log(ms) / math.log(1.1)  # the edge with this index
    bucket = math.floor(place)
    low = below[bucket] if bucket >= 0 else 0.0
    high = below[min(bucket + 1, len(below) - 1)]
    return low + (high - low) * (place - bucket)
