"""Exact enumeration: under the null no bet grows on average, whatever the traffic, the rate and the share."""

import itertools
import math

import pytest

from hitless.verdict import Arm, Errors, Tick, Verdict
from hitless.verdict.boundary import Sizes, chances_of, weights_of
from hitless.verdict.exchangeable import bet
from hitless.verdict.fine import Fine
from hitless.verdict.mixture import Mixture, Stake, Starts, once_only
from hitless.verdict.proof import Proof

RATES = (0.001, 0.01, 0.1, 0.3, 0.6, 0.9)
SMALL = [(n, m) for n in range(1, 7) for m in range(1, 7)]


def chance(n, k, p):
    return math.comb(n, k) * p**k * (1 - p) ** (n - k)


def mean_after(n, m, ours, theirs, factor):
    """Return the exact mean of a factor over all outcomes of one tick."""
    outcomes = itertools.product(range(n + 1), range(m + 1))
    return math.fsum(chance(n, c, ours) * chance(m, b, theirs) * factor(n, c, m, b) for c, b in outcomes)


def mixture(null=1.0, cap=1e12, ratios=(1.5, 4.0, 25.0), least=0):
    ratios = tuple(ratio * null for ratio in ratios)
    each = Mixture(ratios, Stake((1 / len(ratios),) * len(ratios), Starts(3600)), null, cap, least)
    each.stake.start(0)
    return each


def errors(null, rate=None, cap=1e12):
    def factor(n, c, m, b):
        each = mixture(null, cap)
        if c + b or rate is not None:
            each.feed(n, c, m, b, rate)
        return min(each.stake.wealth, cap)

    return factor


@pytest.mark.parametrize("null", [1.0, 1.25, 2.0, 4.0])
@pytest.mark.parametrize("p", RATES)
def test_errors_do_not_gain_at_the_tolerated_ratio_or_below(null, p):
    for (n, m), inside in itertools.product(SMALL, (1.0, 0.8, 0.3)):
        assert mean_after(n, m, min(1.0, null * inside * p), p, errors(null)) <= 1 + 1e-12 or null * inside * p > 1


@pytest.mark.parametrize("null", [1.0, 2.0])
@pytest.mark.parametrize("p", [0.05, 0.2, 0.45])
def test_common_errors_do_not_gain_whatever_was_guessed(null, p):
    for (n, m), guess, inside in itertools.product(SMALL, (0.05, 0.3, 0.9), (1.0, 0.5)):
        assert mean_after(n, m, null * inside * p, p, errors(null, guess)) <= 1 + 1e-12


@pytest.mark.parametrize("null", [1.0, 1.5, 2.0])
@pytest.mark.parametrize("cap", [1.1, 2.0, 5.0])
def test_what_is_paid_back_is_never_more_than_what_jumps_over(null, cap):
    for (n, m), p, inside in itertools.product(SMALL, (0.01, 0.2, 0.45), (1.0, 0.7, 0.2)):
        assert mean_after(n, m, null * inside * p, p, errors(null, cap=cap)) <= 1 + 1e-12


def test_paying_back_makes_a_fair_game_of_one_that_gives_away():
    def given_away(n, c, m, b):
        return min(errors(1.0, rate=0.2)(n, c, m, b), 1.3)

    paid_back = mean_after(3, 6, 0.2, 0.2, errors(1.0, rate=0.2, cap=1.3))
    assert mean_after(3, 6, 0.2, 0.2, given_away) < 0.9
    assert 0.99 < paid_back <= 1 + 1e-12


@pytest.mark.parametrize("limit", [1.0, 1.5, 3.0])
def test_a_canary_at_its_limit_or_beyond_gains_nothing_towards_a_promotion(limit):
    def factor(n, c, m, b):
        each = Fine(limit, (0.3, 0.5, 0.8))
        each.feed(n, c, m, b)
        return each.wealth

    for (n, m), p, beyond in itertools.product(SMALL, (0.01, 0.1, 0.3), (1.0, 1.5, 3.0)):
        if limit * beyond * p <= 1:
            assert mean_after(n, m, limit * beyond * p, p, factor) <= 1 + 1e-12


@pytest.mark.parametrize("chronic", [0, 1, 2, 50])
@pytest.mark.parametrize("where", [0, -1])  # the canary's first group, the baseline's last
@pytest.mark.parametrize("k", [2, 3])
def test_groups_do_not_gain_even_if_one_of_them_has_a_user_who_always_fails(chronic, where, k):
    for healthy in ((0, 0, 1, 0, 2, 0), (1, 1, 1, 1, 1, 1), (0, 0, 0, 0, 3, 0), (5, 0, 1, 2, 0, 1)):
        factors = []
        for order in itertools.permutations(healthy):
            groups = list(order)
            groups[where] += chronic
            factors.append(bet(groups[:k], groups[k:], 3.0))
        assert math.fsum(factors) / len(factors) <= 1 + 1e-12


def test_the_law_of_a_tick_is_fishers():
    for (n, m), odds in itertools.product(SMALL, (1.0, 2.0, 5.0)):
        for bad in range(1, n + m):
            low, high = max(0, bad - m), min(n, bad)
            weights = [math.comb(n, k) * math.comb(m, bad - k) * odds**k for k in range(low, high + 1)]
            law = chances_of(Sizes(n, m, bad), odds, low, high)
            assert law == pytest.approx([each / sum(weights) for each in weights], rel=1e-10)


def test_the_bound_for_scarce_requests_lies_between_the_exact_mean_and_nothing():
    for n, m, bad, ratio in itertools.product((3, 20, 60), (10, 200), (2, 5, 12), (1.5, 4.0, 25.0)):
        law = chances_of(Sizes(n, m, bad), 1.0, max(0, bad - m), min(n, bad))
        exact = math.fsum(each * ratio ** (max(0, bad - m) + k) for k, each in enumerate(law))
        share = n / (n + m)
        lean = share * (ratio - 1)
        bound = once_only(bad, share, [ratio - 1], 1 / n - 1 / (n + m))[0]
        assert math.log(exact) <= bound + 1e-12 <= bad * math.log1p(lean) + 1e-9


def test_the_whole_run_keeps_alpha_by_enumeration():
    """Every path of 40 bad events at one share: the chance that the capped wealth ever reaches 1/alpha is below alpha."""
    for alpha, share in ((0.05, (1, 1)), (0.05, (1, 9)), (0.2, (1, 3))):
        states = {(0.5, 0.5, 0.0, 0.0): 1.0}  # by wealth in play, rest and bad events: probabilities
        fired = 0.0
        for _ in range(14):
            following: dict[tuple[float, ...], float] = {}
            for (low, high, rest, bad), probability in states.items():
                for mine in (0, 1):
                    each = mixture(1.0, 1 / alpha, ratios=(2.0, 10.0))
                    each.stake.x, each.stake.rest, each.bad = [low, high], rest, int(bad)
                    each.stake.set(each.stake.x)
                    each.feed(share[0] * 1000, mine, share[1] * 1000, 1 - mine)
                    here = probability * (share[0] if mine else share[1]) / sum(share)
                    if each.stake.wealth >= 1 / alpha:
                        fired += here
                    else:
                        key = (*each.stake.x, each.stake.rest, float(each.bad))
                        following[key] = following.get(key, 0.0) + here
            states = following
        assert 0.3 * alpha < fired <= alpha


@pytest.mark.parametrize("guards", [1, 3])
@pytest.mark.parametrize("alpha", [0.01, 0.3])
def test_what_is_reported_as_evidence_is_a_fair_game_up_to_the_last_tick(alpha, guards):
    """The raw e-value, nothing cut off: its mean under the null is at most 1 (it was 1.08)."""
    for (n, m), p, learned in itertools.product([(1, 1), (3, 6), (6, 6), (2, 12)], (0.001, 0.2, 0.5), (0, 50, 200)):
        begun = Verdict(
            [Errors(name=f"errors {k}", weight=k + 1) for k in range(guards)], alpha=alpha, least_bad=0, breaker=False
        )
        if learned:
            begun.feed(Tick(0, Arm(1, 0), Arm(1000, learned)))
        before, data = begun.decide().e_value, begun.dump()

        def factor(n, c, m, b, before=before, data=data):
            return Verdict.load(data).feed(Tick(1, Arm(n, c), Arm(m, b))).e_value / before

        assert mean_after(n, m, p, p, factor) <= 1 + 1e-12


def test_the_parts_of_the_evidence_are_together_what_is_reported():
    verdict = Verdict([Errors(), Errors(on="orders", name="orders")])
    for t in range(20):
        decision = verdict.feed(Tick(t, Arm(50, 4), Arm(950, 1), {"orders": (Arm(20, 1), Arm(400, 1))}))
    assert decision.kind == "roll back"
    assert decision.e_value == pytest.approx(100.0)
    assert math.fsum(verdict.evidence().values()) == pytest.approx(decision.e_value)


def test_common_errors_are_bet_on_in_a_way_that_was_chosen_before_the_tick():
    """The choice between two fair bets must not know how many were bad, or their mix need not be fair."""
    for (n, m), rate in itertools.product([(70, 70), (6, 6), (40, 200)], (0.05, 0.4, 0.9)):
        given = [mean_given(n, m, bad, rate) for bad in range(n + m + 1)]
        for p in (0.05, 0.5, 0.9):
            assert math.fsum(chance(n + m, bad, p) * mean for bad, mean in enumerate(given)) <= 1 + 1e-9


def mean_given(n, m, bad, rate):
    low, high = max(0, bad - m), min(n, bad)
    law = chances_of(Sizes(n, m, bad), 1.0, low, high)
    values = []
    for c in range(low, high + 1):
        each = mixture(1.0)
        each.feed(n, c, m, bad - c, rate)
        values.append(min(each.stake.wealth, 1e12))  # the cap
    return math.fsum(a * b for a, b in zip(law, values, strict=True))


def test_the_weights_of_a_law_stay_numbers_where_one_arm_is_far_larger():
    for sizes in (Sizes(10**6, 60, 60), Sizes(60, 10**6, 60), Sizes(2**53, 2**53, 120), Sizes(2**53, 130, 120)):
        for odds in (1.0, 1000.0):
            total = math.fsum(weights_of(sizes, odds))
            assert math.isfinite(total)
            assert total > 0


@pytest.mark.parametrize("null", [1.0, 2.0])
def test_evidence_without_the_first_bad_user_is_what_there_would_be_if_that_user_had_not_come(null):
    ticks = [(0, 2), (3, 1), (0, 1), (2, 0), (1, 4)]
    whole, without = mixture(null), mixture(null)
    without.bad = 1  # nobody more is taken out
    for at, (mine, other) in enumerate(ticks):
        for each in (whole, without):
            each.stake.start(at * 10.0)
        whole.feed(500, mine, 9500, other)
        without.feed(500, mine - (at == 1), 9500, other)
    left = [x * part for x, part in zip(whole.stake.x, whole.stake.left, strict=True)]
    assert left == pytest.approx(without.stake.x, rel=1e-10)
    proof = Proof(whole.stake, (1.0, 1.0, 1.0), 0.9999)
    assert proof.wealth <= whole.stake.wealth
