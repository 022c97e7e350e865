"""The interval of a ratio against ville, an independent implementation of the beta-binomial confidence sequence."""

import numpy as np
import pytest
from ville import BernoulliCS

from hitless.verdict.decision import ratio_of
from hitless.verdict.guard import Counts


@pytest.mark.parametrize(("bad", "against"), [(0, 7), (3, 0), (1, 1), (12, 40), (200, 150), (5, 2000)])
@pytest.mark.parametrize(("canary", "baseline"), [(10_000, 10_000), (5_000, 95_000), (10_000, 990_000)])
def test_the_interval_is_that_of_ville(bad, against, canary, baseline):
    sequence = BernoulliCS(alpha=0.05, prior=(0.5, 0.5), intersect=False)
    low, high = sequence.update(np.array([1] * bad + [0] * against)).interval()
    ratio = ratio_of(Counts().plus(canary, bad, baseline, against))
    share = canary / (canary + baseline)
    assert _part(ratio.low, share) == pytest.approx(low, abs=1e-9)
    assert _part(ratio.high, share) == pytest.approx(high, abs=1e-9)


def _part(ratio, share):
    """Return the canary's part of the bad events at this ratio of rates."""
    return 1.0 if ratio == float("inf") else ratio * share / (1.0 + share * (ratio - 1.0))
