"""The public interface, as other programs use it."""

import pytest

from hitless.verdict import EDGES, Arm, Errors, Latency, Tick, Verdict, requests_to_see

NAN = float("nan")


def second(t, canary_bad=0, baseline_bad=0, canary=50, baseline=950):
    return Tick(t=t, canary=Arm(canary, canary_bad), baseline=Arm(baseline, baseline_bad))


def test_a_canary_that_fails_is_rolled_back_for_good():
    verdict = Verdict(guards=[Errors(worse=1.0)])
    kinds = [verdict.feed(second(t, canary_bad=2, baseline_bad=1)).kind for t in range(10)]
    assert kinds[0] == "continue"
    assert "roll back" in kinds
    last = verdict.feed(second(10))
    assert (last.kind, last.guard) == ("roll back", "errors")
    assert last.e_value >= 100
    assert last.ratio.low > 1.0


def test_a_healthy_canary_is_promoted_only_where_that_was_asked_for():
    asked = Verdict(guards=[Errors(fine_below=2.0)])
    not_asked = Verdict(guards=[Errors()])
    ticks = [second(t, canary_bad=t % 20 == 0, baseline_bad=1) for t in range(3000)]
    ticks = [tick._replace(canary=Arm(50, int(tick.canary.bad))) for tick in ticks]
    assert [asked.feed(tick) for tick in ticks][-1].kind == "promote"
    assert {not_asked.feed(tick).kind for tick in ticks} == {"continue"}


def test_a_duplicate_changes_nothing_and_an_older_tick_is_refused():
    verdict = Verdict(guards=[Errors()])
    verdict.feed(second(1, 2, 1))
    before = verdict.dump()
    verdict.feed(second(1, 9, 0))
    with pytest.raises(ValueError, match="comes after"):
        verdict.feed(second(0))
    assert verdict.dump() == before


@pytest.mark.parametrize(
    "arm", [Arm(NAN, 0), Arm(10, NAN), Arm(None, 0), Arm(-1, 0), Arm(1, 2), Arm("7", 1), Arm(5, True)]
)
def test_what_is_no_count_is_refused_and_changes_nothing(arm):
    verdict = Verdict(guards=[Errors(fine_below=2.0)])
    verdict.feed(second(1, 1, 1))
    before = verdict.dump()
    with pytest.raises((TypeError, ValueError)):
        verdict.feed(Tick(t=2, canary=arm, baseline=Arm(100, 0)))
    with pytest.raises((TypeError, ValueError)):
        verdict.feed(Tick(t=2, canary=Arm(100, 0), baseline=arm))
    assert verdict.dump() == before


def test_edges_rise_in_steps_of_ten_percent_from_one_millisecond_to_one_minute():
    assert EDGES[0] == 1.0
    assert EDGES[-1] >= 60_000 > EDGES[-2]


def test_a_slow_canary_is_rolled_back():
    verdict = Verdict(guards=[Latency(at="p99")])
    fast, slow = {40: 90, 45: 9, 50: 1}, {40: 90, 50: 9, 58: 1}
    for t in range(300):
        decision = verdict.feed(Tick(t, Arm(100, 0, slow), Arm(1000, 0, {k: 10 * n for k, n in fast.items()})))
    assert (decision.kind, decision.guard) == ("roll back", "latency")


def test_the_bound_agrees_with_the_published_table():
    assert requests_to_see(2, 0.001, 0.05) == pytest.approx(12732, rel=0.001)
    assert requests_to_see(20, 0.001, 0.01) == pytest.approx(117, rel=0.01)
    assert requests_to_see(1.5, 0.001, 0.5) == pytest.approx(91480, rel=0.001)


def test_what_is_still_needed_is_said_also_where_the_baseline_had_nothing_bad():
    verdict, told = Verdict(guards=[Errors()]), []
    while (decision := verdict.feed(second(len(told), canary_bad=int(len(told) % 5 == 0)))).kind == "continue":
        told.append((decision.e_value, decision.users_needed))
    grown = [needed for e_value, needed in told if e_value > 1.0]
    assert grown
    assert all(0 < needed < 5000 for needed in grown)
    assert decision.users_needed == 0


def test_a_verdict_tells_its_bounds_also_where_nothing_was_bad_yet():
    verdict = Verdict(guards=[Errors()])
    decision = [verdict.feed(second(t, canary=5, baseline=95)) for t in range(60)][-1]
    assert (decision.kind, decision.ratio) == ("continue", None)
    assert (1 - decision.bad_below) ** 300 == pytest.approx(0.05)
    rate = 1 - 0.05 ** (1 / 6000)
    assert decision.needed.requests == decision.users_needed == pytest.approx(requests_to_see(2, rate, 0.05), rel=0.01)
    assert (decision.needed.supposed, decision.needed.at_least) == (2.0, True)


def test_where_nothing_points_to_worse_it_is_said_what_a_canary_twice_as_bad_would_need():
    for worse in (1.0, 1.5):
        verdict = Verdict(guards=[Errors(worse=worse)], alpha=0.01)
        for t in range(400):
            decision = verdict.feed(second(t, canary_bad=int(t % 20 == 0), baseline_bad=1))
        assert decision.ratio.low < 1.0 < decision.ratio.high
        assert (decision.needed.supposed, decision.needed.at_least) == (2.0 * worse, False)
        bound = requests_to_see(2.0 * worse, 0.00105, 0.05, tolerated=worse)
        assert bound < decision.users_needed < 2 * bound


@pytest.mark.parametrize("p", [0.05, 0.3, 0.5, 0.9, 1.0])
def test_what_is_needed_can_be_said_of_frequent_errors_too(p):
    verdict = Verdict(guards=[Errors()], breaker=False)
    for t in range(30):
        decision = verdict.feed(second(t, canary_bad=int(50 * p), baseline_bad=int(950 * p)))
    assert decision.kind == "continue"
    if p == 1.0:
        assert decision.needed is None  # nothing can be worse
    else:
        assert p * decision.needed.supposed < 1.0
        assert 0 < decision.users_needed < 2000


def test_nobody_says_how_much_is_needed_at_a_ratio_on_which_nothing_bets():
    verdict = Verdict(guards=[Errors()])
    for t in range(100):
        decision = verdict.feed(Tick(t, Arm(1000, 11), Arm(1000, 10)))
    assert decision.ratio.value == pytest.approx(1.1)
    assert decision.needed.supposed == 2.0


def test_while_nothing_points_to_worse_the_first_guard_has_the_word_and_slow_requests_are_counted_as_such():
    verdict = Verdict(guards=[Errors(), Latency(weight=5)])
    usual, slow = {40: 97, 50: 3}, {40: 90, 50: 3, 60: 7}

    def fed(t, canary):
        return verdict.feed(Tick(t, Arm(100, t % 2, canary), Arm(1000, 10, {k: 10 * n for k, n in usual.items()})))

    quiet = [fed(t, usual) for t in range(60)][-1]
    assert (quiet.guard, quiet.users.baseline_bad) == ("errors", 600)
    t = 60
    while (decision := fed(t, slow)).guard == "errors":
        t += 1
    assert (decision.guard, decision.ratio.value > 1.0, decision.users_needed is not None) == ("latency", True, True)
