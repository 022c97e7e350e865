"""The engine against batch code that shares nothing with it: the same numbers to 1e-10."""

import math
import random

import pytest

from hitless.verdict import Arm, Errors, Tick, Verdict
from hitless.verdict.errors import LATER, PRIOR, RATIOS
from hitless.verdict.fine import RATIOS as FINE_RATIOS
from hitless.verdict.mixture import PACE_S, Starts

RARE = 0.0004


def ticks(seed, seconds=1500, ratio=1.0):
    draw = random.Random(seed)
    for t in range(seconds):
        n, m = draw.randrange(40, 60), draw.randrange(800, 1100)
        c, b = (sum(draw.random() < p for _ in range(k)) for k, p in ((n, RARE * ratio), (m, RARE)))
        yield t, n, c, m, b


def brute_force(stream, null, horizon_s):
    """Sum over every ratio and every start, from scratch, in logarithms. No refund: valid while 1/alpha is far away."""
    starts, entered, put, steps, due = Starts(horizon_s), [], 0.0, [], -math.inf
    for at, n, c, m, b in stream:
        t = at - stream[0][0]
        if not c + b:
            continue
        if t >= due:
            due = t + PACE_S
            entered.append((len(steps), starts.by(t) - put))
            put = starts.by(t)
        share = n / (n + m)
        steps.append([
            c * math.log(r) - (c + b) * math.log((1 + share * (r * null - 1)) / (1 + share * (null - 1))) for r in RATIOS
        ])  # fmt: skip
    total = 1.0 - put
    for begin, mass in entered:
        for k, prior in enumerate(LATER if begin else PRIOR):
            total += mass * prior * math.exp(math.fsum(step[k] for step in steps[begin:]))
    return total


@pytest.mark.parametrize("null", [1.0, 2.0])
@pytest.mark.parametrize("seed", range(1, 6))
def test_the_wealth_is_the_sum_over_all_ratios_and_starts(null, seed):
    stream = [each for each in ticks(seed) if each[2] + each[4] < 2]  # so none is scarce
    verdict = Verdict([Errors(worse=null)], alpha=1e-9, horizon_s=5000)
    for t, n, c, m, b in stream:
        decision = verdict.feed(Tick(t, Arm(n, c), Arm(m, b)))
    assert decision.e_value == pytest.approx(brute_force(stream, null, 5000), rel=1e-10)


def test_the_promotion_is_the_sum_over_its_ratios():
    stream = list(ticks(3))
    verdict = Verdict([Errors(fine_below=2.0)], alpha=1e-9, beta=1e-9)
    for t, n, c, m, b in stream:
        verdict.feed(Tick(t, Arm(n, c), Arm(m, b)))
    total = 0.0
    for g in FINE_RATIOS:
        steps = [
            c * math.log(g / 2) + (c + b) * math.log((n + m + n) / (n + m + n * (g - 1))) for _, n, c, m, b in stream
        ]
        total += math.exp(math.fsum(steps)) / len(FINE_RATIOS)
    (watch,) = verdict._watches
    assert watch.fine == pytest.approx(total, rel=1e-10)


def test_one_tick_or_two_with_the_same_share_give_the_same_wealth():
    whole, parts = (Verdict([Errors(worse=1.5)], alpha=1e-9, horizon_s=100) for _ in range(2))
    for t in range(0, 80, 10):
        one = whole.feed(Tick(t, Arm(20, 2), Arm(400, 3)))
        parts.feed(Tick(t, Arm(10, 2), Arm(200, 1)))
        two = parts.feed(Tick(t + 1, Arm(10, 0), Arm(200, 2)))
    assert one.e_value == pytest.approx(two.e_value, rel=1e-10)


def test_a_better_canary_never_gains_evidence_against_itself():
    for seed in range(1, 4):
        stream = list(ticks(seed, 300, ratio=3.0))
        bad, better = (Verdict([Errors(fine_below=3.0)], alpha=1e-9, beta=1e-9) for _ in range(2))
        for t, n, c, m, b in stream:
            bad.feed(Tick(t, Arm(n, c), Arm(m, b)))
            better.feed(Tick(t, Arm(n, 0), Arm(m, b)))
        assert better.decide().e_value <= bad.decide().e_value
        assert better._watches[0].fine >= bad._watches[0].fine
