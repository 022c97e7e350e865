"""The ratio that is shown: what it is while the share changes, and that it says the same as the evidence."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitless.verdict import Arm, Errors, Tick, Verdict
from hitless.verdict.decision import ratio_of
from hitless.verdict.guard import Counts

NIGHT, DAY = (0.05, 0.02), (0.5, 0.002)  # share of the canary, rate of errors


def ramped(ratio, seed, seconds=600, rps=1000):
    """Return the last decision after a night at a small share and many errors, and a day at half and few."""
    draw, verdict = np.random.default_rng(seed), Verdict([Errors()], alpha=1e-9)
    for t in range(2 * seconds):
        share, p = NIGHT if t < seconds else DAY
        n, m = (int(draw.poisson(rps * part)) for part in (share, 1 - share))
        tick = Tick(t, Arm(n, int(draw.binomial(n, p * ratio))), Arm(m, int(draw.binomial(m, p))))
        last = verdict.feed(tick)
    return last


def test_a_share_and_a_rate_that_change_together_do_not_make_a_healthy_version_look_better():
    seen = [ramped(1.0, seed).ratio for seed in range(5)]
    assert np.mean([each.value for each in seen]) == pytest.approx(1.0, abs=0.05)
    assert all(each.low < 1.0 < each.high for each in seen)


def test_nor_a_bad_one_worse_or_better_than_it_is():
    seen = [ramped(2.0, seed).ratio for seed in range(5)]
    assert np.mean([each.value for each in seen]) == pytest.approx(2.0, rel=0.05)
    assert all(1.0 < each.low < 2.0 < each.high for each in seen)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 50)), min_size=1, max_size=20))
def test_while_the_share_stays_it_is_the_ratio_of_the_rates(bads):
    counts = Counts()
    for bad, against in bads:
        counts = counts.plus(50, bad, 950, against)
    ratio = ratio_of(counts)
    if not counts.canary_bad + counts.baseline_bad:
        assert ratio is None
    elif not counts.baseline_bad:
        assert ratio.value == math.inf
    else:
        expected = (counts.canary_bad / counts.canary) / (counts.baseline_bad / counts.baseline)
        assert ratio.value == pytest.approx(expected)
        assert ratio.low <= ratio.value <= ratio.high


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(0, 50), st.integers(0, 50))
def test_a_second_with_one_arm_only_leaves_it_as_it_was(canary, baseline, bad, against):
    counts = Counts().plus(60, 3, 940, 7)
    alone = counts.plus(canary, min(bad, canary), 0, 0).plus(0, 0, baseline, min(against, baseline))
    assert alone.ours / alone.theirs == counts.ours / counts.theirs


@pytest.mark.parametrize(("p", "worse"), [(0.3, 0.5), (0.5, 0.75), (0.9, 0.97)])
def test_frequent_errors_that_take_a_version_back_leave_no_doubt_in_the_interval(p, worse):
    outside = 0
    for seed in range(1000, 1012):
        draw, verdict = np.random.default_rng(seed), Verdict([Errors()], breaker=False)
        decision = verdict.feed(Tick(0, Arm(50, round(50 * p)), Arm(950, round(950 * p))))
        for t in range(1, 400):
            tick = Tick(t, Arm(50, int(draw.binomial(50, worse))), Arm(950, int(draw.binomial(950, p))))
            if (decision := verdict.feed(tick)).kind == "roll back":
                break
        outside += decision.ratio.low > 1.0
    assert outside >= 9


@pytest.mark.parametrize(
    ("p", "share", "ratio"), [(0.5, 0.05, 1.0), (0.9, 0.2, 1.0), (0.2, 0.5, 3.0), (0.05, 0.1, 2.0)]
)
def test_the_interval_holds_at_every_look_for_frequent_errors_too(p, share, ratio):
    missed = 0
    for seed in range(1000, 1040):
        draw, counts = np.random.default_rng(seed), Counts()
        for t in range(100):
            n, m = int(draw.poisson(100 * share)) + 1, int(draw.poisson(100 * (1 - share)))
            counts = counts.plus(n, int(draw.binomial(n, p * ratio)), m, int(draw.binomial(m, p)))
            if t % 5 == 4 and not (seen := ratio_of(counts)).low <= ratio <= seen.high:
                missed += 1
                break
    assert missed <= 6  # of 40, where 5 % are allowed
