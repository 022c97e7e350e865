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
    assert all(needed is None for e_value, needed in told if e_value <= 1.0)
    assert decision.users_needed == 0
