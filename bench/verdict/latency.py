"""Slow tails against the test that knows both laws, and healthy latencies."""

import math
from collections.abc import Iterator

import incumbents
import numpy as np
from engine import run_latency
from scoring import Bench, Score, share_of
from streams import latency_chances

PLACES = ((100, 0.01, 7200), (100, 0.05, 2400), (5000, 0.01, 600), (5000, 0.05, 120))  # per second, share, seconds


def latency(bench: Bench) -> Iterator[Score]:
    """p99 half as long again, then no difference at all."""
    quotients, lines = [], []
    for index, (rps, split, horizon) in enumerate(PLACES):
        found = bench.each(slow_tail, (11, index), bench.runs(60, 3), rps, split, horizon)
        ours, best = (float(np.mean(each)) for each in zip(*found, strict=True))
        quotients.append(ours / best)
        lines.append(f"{rps}/s {split:.0%}: {ours:.0f}/{best:.0f} s")
    mean = math.exp(float(np.mean(np.log(quotients))))
    figure = f"{mean:.2f}x (worst {max(quotients):.2f}x)"
    yield Score("tail latency (p99 +50 %) / oracle", figure, "3x", "1.5x", "; ".join(lines), mean > 3)
    alarms = bench.each(healthy_hour, (12,), bench.runs(100))
    yield Score("  false alarms, healthy, 1 h", share_of(sum(alarms), len(alarms)), "1 %", "1 %")


def slow_tail(rng: np.random.Generator, rps: float, split: float, horizon: int) -> tuple[int, int]:
    """Return the seconds of ours and of the oracle."""
    slow, plain = latency_chances(tail=1.5), latency_chances()
    canary = rng.multinomial(rng.poisson(rps * split, horizon), slow)
    baseline = rng.multinomial(rng.poisson(rps * (1 - split), horizon), plain)
    return run_latency(canary, baseline, 1) or horizon, _oracle(canary, baseline, slow, plain) or horizon


def healthy_hour(rng: np.random.Generator) -> bool:
    plain = latency_chances()
    canary, baseline = (rng.multinomial(rng.poisson(rate, 3600), plain) for rate in (50, 950))
    return run_latency(canary, baseline, 1) is not None


def _oracle(canary: np.ndarray, baseline: np.ndarray, slow: np.ndarray, plain: np.ndarray) -> int | None:
    share = canary.sum(1) / np.maximum(canary.sum(1) + baseline.sum(1), 1)
    mixed = share[:, None] * slow + (1 - share[:, None]) * plain + 1e-300
    log = (canary * np.log((slow + 1e-300) / mixed) + baseline * np.log((plain + 1e-300) / mixed)).sum(1)
    return incumbents.first(np.cumsum(log) >= math.log(100))
