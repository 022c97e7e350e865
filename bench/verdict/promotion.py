"""Promotions of a canary exactly at its limit, of healthy ones, and without evidence."""

import math
from collections.abc import Callable, Iterator

import numpy as np
from engine import run
from scoring import Bench, Score, share_of, too_many
from streams import make

from hitless.verdict import Arm, Errors, Tick, Verdict

PLACES = ((0.001, 100, 0.05), (0.001, 5000, 0.05), (0.01, 100, 0.05), (0.01, 5000, 0.5))
WITHOUT_EVIDENCE: tuple[Callable[[int], Tick], ...] = (
    lambda t: Tick(t, Arm(0, 0), Arm(0, 0)),
    lambda t: Tick(t, Arm(0, 0), Arm(1000, 1)),
    lambda t: Tick(t, Arm(50, 0), Arm(0, 0)),
    lambda t: Tick(t, None, None),
    lambda t: Tick(t, None, Arm(1000, 1)),
    lambda t: Tick(t, Arm(50, 0), None),
    lambda t: Tick(t, Arm(50, 0), Arm(950, 0)),
    lambda t: Tick(t * 3600, Arm(0, 0), Arm(0, 0)),
)


def promotion(bench: Bench) -> Iterator[Score]:
    """At the limit, healthy, and blind."""
    at_limit: list[bool] = []
    healthy: list[float] = []
    for index, (p, rps, split) in enumerate(PLACES):
        for limit in (1.5, 2.0, 3.0):
            cell = (p, rps, split, limit)
            at_limit += bench.each(promoted_at_limit, (9, index, int(limit * 2)), bench.runs(60), *cell)
        healthy += bench.each(promoted_after, (10, index), bench.runs(10), p, rps, split)
    yield Score(
        "bad canaries at the limit that are promoted",
        share_of(sum(at_limit), len(at_limit)),
        "5 %",
        "5 %",
        f"healthy ones within 6 h: {sum(map(math.isfinite, healthy))}/{len(healthy)}",
        too_many(sum(at_limit), len(at_limit), 0.05),
    )
    yield Score("promotions without evidence", str(blind := _without_evidence()), "0", "0", "", blind > 0)


def promoted_at_limit(rng: np.random.Generator, p: float, rps: float, split: float, limit: float) -> bool:
    verdict = Verdict([Errors(worse=limit, fine_below=limit)], alpha=0.01, beta=0.05)
    streams = make(rng, rps=rps, split=split, p=p, ratio=limit, seconds=7200)
    return run(streams, verdict, stop="promote") is not None


def promoted_after(rng: np.random.Generator, p: float, rps: float, split: float) -> float:
    """Return the seconds after which a healthy canary is promoted, infinity for never."""
    streams = make(rng, rps=rps, split=split, p=p, seconds=21_600)
    return run(streams, Verdict([Errors(worse=2.0, fine_below=2.0)]), stop="promote") or math.inf


def _without_evidence() -> int:
    """Count promotions in two hours in which nothing came, or nothing in one arm, or nothing bad."""
    promoted = 0
    for case in WITHOUT_EVIDENCE:
        verdict = Verdict([Errors(fine_below=2.0)])
        promoted += any(verdict.feed(case(t)).kind == "promote" for t in range(7200))
    return promoted
