"""Latency histograms as lists with one number per bucket."""

import math
from collections.abc import Mapping, Sequence

from hitless.verdict.buckets import EDGES

BUCKETS = len(EDGES) + 1
STEP = math.log(EDGES[1] / EDGES[0])


def add(into: list[int], latency: Mapping[int, int]) -> int:
    """Add a sparse histogram; return how many requests it held."""
    for bucket, many in latency.items():
        into[bucket] += many
    return sum(latency.values())


def slower(histogram: Sequence[float], factor: float) -> list[float]:
    """Return the histogram of the same requests if each had taken `factor` times as long; between buckets it splits."""
    shift = math.log(factor) / STEP
    whole = math.floor(shift)
    part = shift - whole
    moved = [0.0] * BUCKETS
    for bucket, many in enumerate(histogram):
        if many:
            low = min(bucket + whole, BUCKETS - 1)
            moved[low] += many * (1.0 - part)
            moved[min(low + 1, BUCKETS - 1)] += many * part
    return moved


def quantile_bucket(histogram: Sequence[float], q: float) -> int:
    """Return the bucket in which the quantile lies."""
    wanted, seen = q * math.fsum(histogram), 0.0
    for bucket, many in enumerate(histogram):
        seen += many
        if seen >= wanted:
            return bucket
    return BUCKETS - 1


def sparse(values: Sequence[float]) -> list[tuple[int, float]]:
    """Return the buckets that hold something."""
    return [(index, value) for index, value in enumerate(values) if value]


def dense(pairs: Sequence[tuple[int, float]]) -> list[float]:
    """Return the list with all buckets again."""
    values = [0.0] * BUCKETS
    for index, value in pairs:
        values[index] = value
    return values
