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
