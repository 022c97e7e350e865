"""The interval of a ratio against savvi, the implementation of Lindon & Malek's authors, which solves for it.

savvi brings some 300 MB of solvers along, so it is an extra of its own: `pip install -e '.[oracles]'`.
"""

import pytest

from hitless.verdict.decision import ratio_of
from hitless.verdict.guard import Counts

np = pytest.importorskip("numpy")
multinomial = pytest.importorskip("savvi.multinomial", reason="savvi is in the extra `oracles`")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("bad", "against"), [(3, 5), (12, 40), (200, 150), (5, 2000)])
@pytest.mark.parametrize(("canary", "baseline"), [(10_000, 10_000), (5_000, 95_000)])
def test_the_interval_is_that_of_savvi(bad, against, canary, baseline):
    test = multinomial.Multinomial(0.05, np.array([0.5, 0.5]), k=1)
    test.update(np.array([bad, against]))
    low, high = test.calculate_conf_int()[0]
    ratio = ratio_of(Counts().plus(canary, bad, baseline, against))
    share = canary / (canary + baseline)
    parts = [each * share / (1.0 + share * (each - 1.0)) for each in (ratio.low, ratio.high)]
    assert parts == pytest.approx([low, high], abs=1e-5)
