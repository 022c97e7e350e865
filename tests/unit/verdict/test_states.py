"""Missing data, duplicates, dumps, warm-up, breaker, combination and doubt."""

import random
import zlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitless.verdict import (
    EDGES,
    Arm,
    Business,
    Crashes,
    Errors,
    Exchangeable,
    Latency,
    SampleRatio,
    Saturation,
    Tick,
    Verdict,
)

TWO_HOURS_S = 7200
NOTHING = Arm(0, 0)
ALL = (
    Errors(worse=1.2, fine_below=2.0, weight=4),
    Errors(on="orders", name="errors at orders"),
    Latency(at="p95", worse=1.1, fine_below=1.5),
    Business(on="checkout", margin=0.05),
    Exchangeable(),
    Crashes(),
    Saturation(limit=0.95, for_s=5),
    SampleRatio(share=0.05),
)


def rich_tick(t, draw):
    def arm(scale):
        requests = draw.randrange(30, 60) * scale
        latency = {}
        for _ in range(requests):
            bucket = min(int(draw.gauss(45, 6)), len(EDGES))
            latency[bucket] = latency.get(bucket, 0) + 1
        parts = tuple((requests // 20, int(draw.random() < 0.05)) for _ in range(2 * scale))
        return Arm(
            requests,
            int(draw.random() < 0.1 * scale),
            latency,
            int(draw.random() < 0.01),
            scale,
            scale,
            draw.random() * 0.9,
            parts,
        )

    places = {"orders": (Arm(20, int(draw.random() < 0.05)), Arm(300, 1)), "checkout": (Arm(10, 9), Arm(100, 92))}
    return Tick(t, arm(1), arm(10), places)


def test_a_verdict_that_was_dumped_and_loaded_after_every_tick_decides_bit_by_bit_the_same():
    draw = random.Random(4)
    straight = hopping = Verdict(ALL, alpha=0.02, horizon_s=600)
    hopping = Verdict.load(straight.dump())
    for t in range(250):
        if draw.random() < 0.1:
            continue  # a gap
        tick = rich_tick(t, draw)
        one, two = straight.feed(tick), hopping.feed(tick)
        assert (one.kind, one.guard, one.e_value, one.reason) == (two.kind, two.guard, two.e_value, two.reason)
        assert (one.ratio, one.users_needed, one.users) == (two.ratio, two.users_needed, two.users)
        data = hopping.dump()
        assert len(data) <= 64 * 1024
        hopping = Verdict.load(data)
    assert hopping.dump() == straight.dump()


@pytest.mark.parametrize("broken", [lambda dump: dump + b"x", lambda dump: dump + dump, lambda dump: dump[:-1]])
def test_a_dump_with_something_behind_it_or_cut_short_is_no_dump(broken):
    dump = Verdict(ALL).dump()
    assert Verdict.load(dump).dump() == dump
    with pytest.raises(ValueError, match="no dumped verdict"):
        Verdict.load(broken(dump))


def test_a_dump_of_as_many_guards_as_there_may_be_is_within_its_bound():
    draw, places = random.Random(3), [f"place {n}" for n in range(19)]
    guards = [guard for on in places for guard in (Latency(on=on, name=f"l {on}"), Errors(on=on, name=f"e {on}"))][:35]
    verdict = Verdict(guards)
    with pytest.raises(ValueError, match="a verdict has at most 65536"):
        Verdict([Latency(on=on, name=f"{on} {n}") for on in places for n in range(2)])

    def arm(requests: int) -> Arm:
        slow = Counter(
            min(len(EDGES), max(0, int(draw.gauss(len(EDGES) / 2, len(EDGES) / 5)))) for _ in range(requests)
        )
        parts = tuple((requests // 8, draw.randint(0, 1)) for _ in range(256))
        return Arm(requests, draw.randint(0, 2), latency=slow, parts=parts)

    for t in range(60):
        everywhere = {on: (arm(30), arm(300)) for on in places}
        verdict.feed(Tick(t, arm(30), arm(300), places=everywhere))
    assert len(verdict.dump()) <= 64 * 1024


def test_a_final_decision_survives_too():
    verdict = Verdict([Errors()])
    for t in range(20):
        verdict.feed(Tick(t, Arm(50, 4), Arm(950, 1)))
    again = Verdict.load(verdict.dump())
    assert verdict.decide().kind == again.feed(Tick(99, Arm(50, 0), Arm(950, 0))).kind == "roll back"
    assert repr(again.decide()) == repr(verdict.decide())


@pytest.mark.parametrize(
    "data", [b"", b"{}", zlib.compress(b"{}"), zlib.compress(b'{"format":99}'), zlib.compress(b"[1]")]
)
def test_other_bytes_are_no_verdict(data):
    with pytest.raises(ValueError, match="verdict"):
        Verdict.load(data)


SILENT = {
    "nothing at all": lambda t: Tick(t, NOTHING, NOTHING),
    "no canary": lambda t: Tick(t, NOTHING, Arm(1000, 1)),
    "no baseline": lambda t: Tick(t, Arm(50, 0), NOTHING),
    "unknown canary": lambda t: Tick(t, None, Arm(1000, 1)),
    "unknown baseline": lambda t: Tick(t, Arm(50, 0), None),
    "lost seconds": lambda t: Tick(t, None, None),
}


@pytest.mark.parametrize("case", SILENT)
@pytest.mark.parametrize("guard", [Errors(fine_below=2.0), Latency(fine_below=1.5), Exchangeable(), Crashes()])
def test_two_hours_without_evidence_end_in_hold(case, guard):
    verdict = Verdict([guard])
    kinds = [verdict.feed(SILENT[case](t)).kind for t in range(TWO_HOURS_S)]
    assert "promote" not in kinds
    assert kinds[-1] == "hold"
    assert kinds[:59] == ["continue"] * 59


def test_a_guard_of_shares_alone_holds_where_nobody_is_assigned_and_beside_others_it_is_not_waited_for():
    alone, beside = Verdict([SampleRatio(share=0.05)]), Verdict([Errors(), SampleRatio(share=0.05)])
    ticks = [Tick(t, Arm(50, 0), Arm(950, 1)) for t in range(200)]
    assert [alone.feed(tick).kind for tick in ticks][-1] == "hold"
    assert {beside.feed(tick).kind for tick in ticks} == {"continue"}


def test_a_version_that_was_shown_to_be_fine_for_long_and_then_fails_is_not_fine_any_more():
    verdict = Verdict([Errors(worse=1000, fine_below=1000), Errors(on="orders", name="orders", fine_below=2)])
    for t in range(120):
        verdict.feed(Tick(t, Arm(500, 50), Arm(500, 50)))
    (watch, _) = verdict._watches
    before = watch.fine
    verdict.feed(Tick(120, Arm(500, 500), Arm(500, 0)))
    assert before > 20
    assert watch.fine < before


def test_or_in_a_rollback_where_that_was_asked_for():
    verdict = Verdict([Errors(fine_below=2.0)], blind_s=600)
    kinds = [verdict.feed(SILENT["lost seconds"](t)).kind for t in range(700)]
    assert kinds[598:600] == ["hold", "roll back"]
    assert "blind" in verdict.decide().reason


def test_seconds_that_never_come_are_silence_too_and_what_comes_after_counts_again():
    verdict = Verdict([Errors(fine_below=2.0)])
    assert verdict.feed(Tick(0, Arm(50, 0), Arm(950, 1))).kind == "continue"
    assert verdict.feed(Tick(5000, NOTHING, NOTHING)).kind == "hold"
    assert verdict.feed(Tick(5001, Arm(50, 0), Arm(950, 1))).kind == "continue"


def test_no_errors_in_both_arms_are_no_reason_to_promote():
    verdict = Verdict([Errors(fine_below=2.0)])
    assert {verdict.feed(Tick(t, Arm(50, 0), Arm(950, 0))).kind for t in range(TWO_HOURS_S)} == {"continue"}


def test_a_counter_that_was_reset_is_refused_and_the_verdict_goes_on():
    verdict = Verdict([Errors()])
    verdict.feed(Tick(0, Arm(50, 1), Arm(950, 1)))
    with pytest.raises(ValueError, match="never negative"):
        verdict.feed(Tick(1, Arm(-49, 0), Arm(950, 1)))
    assert verdict.feed(Tick(1, Arm(50, 1), Arm(950, 1))).kind == "continue"


counts = st.one_of(st.integers(-2, 50), st.floats(), st.none(), st.booleans(), st.text(max_size=2))


@given(st.lists(st.tuples(counts, counts, counts, counts), max_size=30))
def test_whatever_is_fed_it_is_counted_or_refused_and_never_promoted(rows):
    verdict = Verdict([Errors(fine_below=1.5)])
    for t, (n, c, m, b) in enumerate(rows):
        before = verdict.dump()
        try:
            decision = verdict.feed(Tick(t, Arm(n, c), Arm(m, b)))
        except (TypeError, ValueError):
            assert verdict.dump() == before
        else:
            assert decision.e_value >= 0.0
            assert 0 <= c <= n
            assert decision.kind != "promote" or verdict.decide().users.baseline_bad > 0


def test_the_breaker_fires_within_five_seconds_even_in_the_warm_up():
    verdict = Verdict([Errors()], warmup_s=60)
    kinds = [verdict.feed(Tick(t, Arm(5, 5), Arm(95, 0))).kind for t in range(5)]
    assert kinds == ["continue"] * 3 + ["roll back"] * 2
    assert verdict.decide().guard == "breaker"
    assert verdict.decide().users_needed == 0


def test_the_breaker_leaves_a_canary_alone_that_fails_like_everything_else():
    verdict = Verdict([Errors()])
    draw = random.Random(2)
    for t in range(600):
        ours, theirs = (sum(draw.random() < 0.6 for _ in range(n)) for n in (20, 100))
        assert verdict.feed(Tick(t, Arm(20, ours), Arm(100, theirs))).kind == "continue"


def test_the_breaker_leaves_a_canary_alone_in_an_incident_of_both_arms_however_long_all_was_well_before():
    verdict = Verdict([Errors()])
    draw = random.Random(1007)
    for t in range(900):
        rate = 0.9 if t >= 600 else 0.001
        ours, theirs = (sum(draw.random() < rate for _ in range(n)) for n in (20, 60))
        hopping = Verdict.load(verdict.dump()) if t % 10 == 0 else verdict
        assert verdict.feed(tick := Tick(t, Arm(20, ours), Arm(60, theirs))).kind == "continue"
        assert hopping.feed(tick).kind == "continue"
    after = [verdict.feed(Tick(t, Arm(20, 20), Arm(60, 0))).kind for t in range(900, 907)]
    assert "roll back" in after


def test_the_warm_up_is_not_compared():
    warm, cold = Verdict([Errors()], warmup_s=30), Verdict([Errors()])
    for t in range(30):
        tick = Tick(t, Arm(50, 1), Arm(950, 1))
        assert warm.feed(tick).e_value == 1.0
        cold.feed(tick)
    assert cold.decide().e_value >= 100


def test_nothing_fires_on_fewer_bad_events_than_the_least_and_without_a_least_not_on_those_of_two_users():
    for least, fires_after in ((5, 5), (3, 3), (0, 3)):
        verdict = Verdict([Errors()], least_bad=least)
        kinds = [verdict.feed(Tick(t, Arm(1, 1), Arm(100_000, 0))).kind for t in range(fires_after)]
        assert kinds == ["continue"] * (fires_after - 1) + ["roll back"]


def test_two_bad_users_beside_one_who_always_fails_are_not_enough_and_a_third_is():
    bad = [Tick(t, Arm(50, 1), Arm(950, 0)) for t in range(4)]
    verdict = Verdict([Errors()])
    third = [verdict.feed(tick) for tick in bad[:3]][-1]
    assert (third.kind, 50 <= third.e_value < 100, third.users_needed > 0) == ("continue", True, True)
    assert "needs a second bad user" in third.reason
    assert verdict.feed(bad[3]).kind == "roll back"


def test_one_user_who_fails_at_every_service_reaches_half_the_threshold_at_most():
    places = ("web", "orders", "stock")
    verdict = Verdict([Errors(on=place, name=place) for place in places], least_bad=0)
    decision = verdict.feed(Tick(0, Arm(50, 1), Arm(950, 0), dict.fromkeys(places, (Arm(1, 1), Arm(10**9, 0)))))
    assert decision.e_value <= 50


def test_identical_guards_say_together_what_one_says():
    one = Verdict([Errors()])
    four = Verdict([Errors(name=f"errors {k}", weight=k + 1) for k in range(4)])
    for t in range(60):
        tick = Tick(t, Arm(50, t % 9 == 0), Arm(950, 1))
        tick = tick._replace(canary=Arm(50, int(tick.canary.bad)))
        first, second = one.feed(tick), four.feed(tick)
        assert second.e_value == pytest.approx(first.e_value, rel=0.2)


def test_the_guard_that_sees_it_is_named():
    verdict = Verdict([Errors(weight=0.8), Errors(on="orders", name="errors at orders", weight=0.2)])
    for t in range(100):
        places = {"orders": (Arm(20, 2), Arm(400, 1))}
        decision = verdict.feed(Tick(t, Arm(50, 0), Arm(950, 1), places))
    assert (decision.kind, decision.guard) == ("roll back", "errors at orders")


def test_clustered_errors_are_noticed_by_the_placebos_and_the_guard_says_no_more():
    verdict = Verdict([Errors()], breaker=False)
    for t in range(300):
        hit = t % 60 < 10  # one user of the third group hammers
        parts = tuple((50, 5 if hit and group == 3 else 0) for group in range(20))
        decision = verdict.feed(Tick(t, Arm(50, 0, parts=((50, 0),)), Arm(1000, 5 if hit else 0, parts=parts)))
    assert (decision.kind, decision.e_value) == ("hold", 0.0)
    assert "clustered" in decision.reason


def test_a_chronic_user_in_one_group_of_the_canary_is_no_evidence_but_a_bad_version_is():
    quiet = tuple((10, 0) for _ in range(38))
    for ours, expected in ((((10, 1), (10, 0)), "continue"), (((10, 1), (10, 1)), "roll back")):
        verdict = Verdict([Exchangeable()], breaker=False)
        for t in range(3600):
            decision = verdict.feed(Tick(t, Arm(20, sum(bad for _, bad in ours), parts=ours), Arm(380, 0, parts=quiet)))
        assert decision.kind == expected


def test_crashes_conversions_load_and_shares_have_guards_of_their_own():
    crashes = Verdict([Crashes()])
    for t in range(600):
        crashes.feed(Tick(t, Arm(10, 0, crashes=int(t % 100 == 0), instances=2), Arm(90, 0, instances=6)))
    assert crashes.decide().kind == "roll back"
    business = Verdict([Business(on="cart", margin=0.02)])
    for t in range(400):
        business.feed(Tick(t, NOTHING, NOTHING, {"cart": (Arm(100, 98), Arm(100, 96))}))
    assert (business.decide().kind, business.decide().guard) == ("roll back", "business")
    full = Verdict([Errors(), Saturation(limit=0.9, for_s=10)])
    kinds = [full.feed(Tick(t, Arm(50, 0, load=0.95), Arm(950, 0, load=0.4))).kind for t in range(12)]
    assert kinds.index("roll back") == 9
    shares = Verdict([Errors(fine_below=2.0), SampleRatio(share=0.05)])
    for t in range(100):
        shares.feed(Tick(t, Arm(50, 0, users=10), Arm(950, 1, users=90)))
    assert (shares.decide().kind, shares.decide().guard) == ("hold", "sample ratio")


@pytest.mark.parametrize("make", [
    lambda: Verdict([]), lambda: Verdict([Errors(), Errors()]), lambda: Verdict([Errors()], alpha=0), lambda: Errors(worse=0.5),
    lambda: Errors(fine_below=1.0), lambda: Latency(at="p42"), lambda: Business(on="x", margin=1.0), lambda: SampleRatio(share=1.0),
    lambda: Saturation(for_s=0), lambda: Exchangeable(weight=-1),
])  # fmt: skip
def test_settings_that_cannot_be_are_refused(make):
    with pytest.raises(ValueError):
        make()
