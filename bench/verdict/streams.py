"""Streams of VERDICT-1: counts per second of both arms, healthy or not, with swings, bursts and users who always fail."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from hitless.signals.bad_users import BadUsers
from hitless.verdict import EDGES

DAY_S = 86_400


@dataclass
class Streams:
    """Per second: requests and bad requests of canary and baseline, and bad users (at most one per user and burst)."""

    canary: np.ndarray
    canary_bad: np.ndarray
    baseline: np.ndarray
    baseline_bad: np.ndarray
    split: float
    canary_users: np.ndarray
    baseline_users: np.ndarray
    groups: np.ndarray | None = None  # [second, group] bad requests; the canary's groups come first
    canary_groups: int = 0

    def exposed(self, seconds: int | None) -> int:
        """Return the canary requests of the first `seconds`; all of them for None."""
        return int(self.canary[:seconds].sum())

    def since(self, onset: int) -> "Streams":
        """Return what begins at `onset`."""
        parts = (self.canary, self.canary_bad, self.baseline, self.baseline_bad)
        cut = [part[onset:] for part in parts]
        return Streams(*cut, self.split, self.canary_users[onset:], self.baseline_users[onset:])


def swing(seconds: int, amplitude: float, phase: float = 0.0) -> np.ndarray:
    """Return a factor around 1 that swings once a day."""
    return 1 + amplitude * np.sin(2 * np.pi * (np.arange(seconds) / DAY_S + phase))


def shares(split: float | list[tuple[int, float]], seconds: int) -> np.ndarray:
    """Return the canary's share per second; a list holds (from second, share)."""
    if not isinstance(split, list):
        return np.full(seconds, split)
    values = np.zeros(seconds)
    for start, share in split:
        values[start:] = share
    return values


def make(
    rng: np.random.Generator,
    *,
    rps: float,
    split: float | list[tuple[int, float]],
    p: float,
    ratio: float = 1.0,
    onset: int = 0,
    seconds: int = DAY_S,
    amplitude: float = 0.0,
) -> Streams:
    """Return Poisson arrivals of mean rps * share and binomial bad requests; traffic and p swing out of phase."""
    traffic, rate, share = swing(seconds, amplitude), p * swing(seconds, amplitude, 0.3), shares(split, seconds)
    canary, baseline = rng.poisson(rps * share * traffic), rng.poisson(rps * (1 - share) * traffic)
    worse = rate * np.where(np.arange(seconds) >= onset, ratio, 1.0)
    canary_bad, baseline_bad = rng.binomial(canary, np.minimum(1.0, worse)), rng.binomial(baseline, rate)
    nominal = split if not isinstance(split, list) else split[-1][1]
    return Streams(canary, canary_bad, baseline, baseline_bad, nominal, canary_bad.copy(), baseline_bad.copy())


def with_bursts(streams: Streams, rng: np.random.Generator, every_s: float, mean: float = 50.0) -> Streams:
    """Add bursts of one user each, about `mean` errors within 30 s, in the canary with probability `split`."""
    seconds = len(streams.canary)
    for _ in range(rng.poisson(seconds / every_s)):
        start, size = rng.integers(0, seconds), rng.geometric(1 / mean)
        times = start + rng.integers(0, 30, size)
        times = times[times < seconds]
        if not len(times):
            continue
        mine = rng.random() < streams.split
        requests, bad, users = (
            (streams.canary, streams.canary_bad, streams.canary_users)
            if mine
            else (streams.baseline, streams.baseline_bad, streams.baseline_users)
        )
        np.add.at(requests, times, 1)
        np.add.at(bad, times, 1)
        users[times.min()] += 1
    return streams


def with_chronic(streams: Streams, seconds: Sequence[int]) -> Streams:
    """Add one user of the canary whose every request fails, and who counts in `seconds`, or when hitless counts him."""
    users = BadUsers()
    for second, others in enumerate(streams.canary_users.tolist()):
        fails = users.counts("chronic", "b", second * 1000, failed=True)
        if second in seconds if seconds else fails:
            streams.canary_users[second] += 1
            streams.canary[second] += 1
        for number in range(others):
            users.counts(f"{second} {number}", "b", second * 1000, failed=True)
    return streams


def grouped(
    rng: np.random.Generator,
    *,
    rps: float,
    p: float,
    groups: int,
    canary_groups: int,
    seconds: int,
    ratio: float = 1.0,
    burst_every_s: float = 0.0,
    chronic: bool = False,
) -> Streams:
    """Return plain requests by hash group; `chronic`: one user in the canary whose request of each second fails."""
    chances = np.full(groups, p)
    chances[:canary_groups] *= ratio
    requests = rng.poisson(rps / groups, (seconds, groups))
    bad = rng.binomial(requests, chances)
    if burst_every_s:
        for _ in range(rng.poisson(seconds / burst_every_s)):
            times = rng.integers(0, seconds) + rng.integers(0, 30, rng.geometric(1 / 50))
            times, group = times[times < seconds], rng.integers(0, groups)
            np.add.at(requests, (times, group), 1)
            np.add.at(bad, (times, group), 1)
    if chronic:
        requests[:, 0] += 1
        bad[:, 0] += 1
    canary, canary_bad = requests[:, :canary_groups].sum(1), bad[:, :canary_groups].sum(1)
    baseline, baseline_bad = requests[:, canary_groups:].sum(1), bad[:, canary_groups:].sum(1)
    share = canary_groups / groups
    return Streams(canary, canary_bad, baseline, baseline_bad, share, canary_bad, baseline_bad, bad, canary_groups)


def latency_chances(scale: float = 1.0, tail: float = 1.0, median: float = 100.0, sigma: float = 0.6) -> np.ndarray:
    """Return the chance of each bucket: lognormal, all slower by `scale`, or the slowest 5 % so that p99 moves by `tail`."""
    normal = NormalDist()
    knee, p99 = (median * math.exp(sigma * normal.inv_cdf(q)) for q in (0.95, 0.99))
    stretch = (tail * p99 - knee) / (p99 - knee)

    def below(ms: float) -> float:
        ms /= scale
        if tail != 1.0 and ms > knee:
            ms = knee + (ms - knee) / stretch
        return normal.cdf((math.log(max(ms, 1e-9)) - math.log(median)) / sigma)

    edges = [0.0, *(below(edge) for edge in EDGES), 1.0]
    return np.diff(edges)


def kl_conditional(ratio: float, p: float, share: float) -> float:
    """Return the evidence of one canary request, in nats, with a concurrent baseline."""
    mean = 1 + share * (ratio - 1)
    return p * (ratio * math.log(ratio) - mean * math.log(mean) / share)
