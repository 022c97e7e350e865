"""What cannot be is refused before anything has changed, and what is accepted can be worked with for ever."""

import itertools
import json
import math
import zlib
from fractions import Fraction

import pytest

from hitless.verdict import (
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
from hitless.verdict.state import FORMAT
from hitless.verdict.ticks import LARGEST, MOST_PARTS

GOOD = Arm(950, 2, {40: 950})
HUGE = 10**400
LIMITS = (1.0, 1.5, 2.0, 999.0, 1000.0)


def everything():
    return Verdict(
        [
            Errors(fine_below=2.0), Latency(fine_below=1.5), Exchangeable(), Crashes(), Saturation(),
            SampleRatio(share=0.05), Errors(on="orders", name="orders"), Business(on="cart"),
        ]
    )  # fmt: skip


def refused(tick, error):
    verdict = everything()
    verdict.feed(Tick(0, Arm(50, 1, {40: 50}), GOOD))
    before, said = verdict.dump(), repr(verdict.decide())
    with pytest.raises(error):
        verdict.feed(tick)
    assert (verdict.dump(), repr(verdict.decide())) == (before, said)
    verdict.feed(Tick(2, Arm(50, 0), GOOD))


@pytest.mark.parametrize("number", [HUGE, LARGEST + 1, float(2 * LARGEST)])
@pytest.mark.parametrize(
    "where", ["t", "requests", "bad", "latency", "crashes", "instances", "users", "parts", "place"]
)
def test_a_number_that_no_second_can_hold_is_refused_and_the_verdict_goes_on(number, where):
    arm = {
        "requests": Arm(number, 1),
        "bad": Arm(number, number),
        "latency": Arm(50, 1, {40: number}),
        "crashes": Arm(50, 1, crashes=number),
        "instances": Arm(50, 1, instances=number),
        "users": Arm(50, 1, users=number),
        "parts": Arm(50, 1, parts=((number, 1), (5, 0))),
    }.get(where, Arm(50, 1))
    at = number if where == "t" else 1
    places = {"orders": (Arm(number, 0), GOOD)} if where == "place" else None
    refused(Tick(at, arm, GOOD, places), ValueError)
    if where not in ("t", "place"):
        refused(Tick(at, Arm(50, 1), arm), ValueError)


@pytest.mark.parametrize("canary", [(LARGEST, LARGEST), (LARGEST, 0), (LARGEST, 1), (60, 60), (1, 0), (LARGEST, 60)])
@pytest.mark.parametrize("baseline", [(LARGEST, LARGEST), (LARGEST, 1), (60, 30), (1000, 60), (1, 1)])
def test_the_largest_counts_are_worked_with_every_second(canary, baseline):
    kinds = set()
    for breaker, many in itertools.product((False, True), (Errors(), Errors(worse=1000.0, fine_below=1000.0))):
        verdict = Verdict([many, Latency(fine_below=2.0), Exchangeable(), Crashes()], alpha=1e-6, breaker=breaker)
        verdict.feed(Tick(0, Arm(1, 0), Arm(1000, 60)))
        for t in range(1, 40):
            ours, theirs = (
                Arm(n, bad, {30: n, 90: n}, crashes=bad, instances=n, parts=((n, bad),) * 8)
                for n, bad in (canary, baseline)
            )
            decision = verdict.feed(Tick(t if t < 39 else LARGEST, ours, theirs))
            assert 0.0 <= decision.e_value <= 1e6 * (1 + 1e-12)
            kinds.add((decision.kind, decision.ratio is None, decision.users_needed is None))
        assert repr(Verdict.load(verdict.dump()).decide()) == repr(verdict.decide())
    assert kinds


@pytest.mark.parametrize("latency", [[1], "x", "", 5, 0, [], [(1, 2)], ((1, 2),)])
def test_latencies_that_are_no_mapping_are_refused(latency):
    refused(Tick(1, Arm(50, 0, latency), GOOD), TypeError)
    refused(Tick(1, Arm(50, 0), Arm(950, 0, latency)), TypeError)


@pytest.mark.parametrize("places", [[("a", 1)], 5, "x", {"a": None}, {"a": (Arm(1, 0),)}, {"a": 5}, {1: (None, None)}])
def test_places_that_are_no_pairs_of_arms_by_name_are_refused(places):
    refused(Tick(1, Arm(50, 0), GOOD, places), (TypeError, ValueError))


@pytest.mark.parametrize("parts", [None, 5, (5, 5), ((1,),), ((5, 2, 3),), ((1, 0),) * (MOST_PARTS + 1), "xy"])
def test_parts_that_are_no_pairs_or_too_many_are_refused(parts):
    refused(Tick(1, Arm(50, 0, parts=parts), GOOD), (TypeError, ValueError))


@pytest.mark.parametrize("load", [True, math.nan, math.inf, -1, "x"])
def test_a_load_that_is_no_number_is_refused(load):
    refused(Tick(1, Arm(50, 0, load=load), GOOD), (TypeError, ValueError))


@pytest.mark.parametrize("guards", [None, [None], ["errors"], Errors(), [Errors(), 5], [Errors]])
def test_what_is_no_guard_is_refused(guards):
    with pytest.raises((TypeError, ValueError)):
        Verdict(guards)


@pytest.mark.parametrize(
    "options",
    [
        {name: value}
        for name in ("warmup_s", "silence_s", "blind_s", "least_bad")
        for value in (-1, math.nan, True, "1")
    ]
    + [{"silence_s": None}, {"warmup_s": None}, {"least_bad": None}, {"least_bad": 1.5}, {"silence_s": 0}]
    + [{"breaker": None}, {"alpha": True}, {"alpha": "1"}, {"horizon_s": True}, {"warmup_s": math.inf}],
)  # fmt: skip
def test_options_that_cannot_be_are_refused(options):
    with pytest.raises((TypeError, ValueError)):
        Verdict([Errors()], **options)


@pytest.mark.parametrize("make", [
    lambda: Errors(worse=True), lambda: Errors(fine_below=True), lambda: Errors(weight=True), lambda: Errors(name=None),
    lambda: Errors(name=""), lambda: Errors(on=None), lambda: Latency(name=None), lambda: Latency(worse="2x"),
    lambda: Latency(at=99), lambda: Business(on=None), lambda: Business(on="x", name=5), lambda: Crashes(name=None),
    lambda: Exchangeable(on=3), lambda: Saturation(name=None), lambda: SampleRatio(share=0.1, name=None),
    lambda: Errors(worse=1000.1), lambda: Errors(fine_below=math.nan), lambda: Latency(at=["p99"]),
])  # fmt: skip
def test_guards_that_cannot_be_are_refused(make):
    with pytest.raises((TypeError, ValueError)):
        make()


@pytest.mark.parametrize("limit", LIMITS)
def test_the_whole_range_of_limits_can_be_watched(limit):
    fine = max(limit, 1.01)
    verdict = Verdict([Errors(worse=limit, fine_below=fine), Latency(worse=limit, fine_below=fine)])
    for t in range(30):
        decision = verdict.feed(Tick(t, Arm(50, 1, {40: 50}), Arm(950, 19, {40: 950})))
    assert decision.kind == "continue"


@pytest.mark.parametrize("make", [
    lambda: Verdict([Errors()], alpha=Fraction(1, 100)), lambda: Verdict([Errors()], beta=Fraction(1, 20)),
    lambda: Errors(worse=Fraction(5, 4)), lambda: Errors(fine_below=Fraction(2)), lambda: Errors(weight=Fraction(1)),
    lambda: Latency(worse=Fraction(5, 4)), lambda: SampleRatio(Fraction(1, 20)), lambda: Saturation(Fraction(1, 2)),
    lambda: Saturation(for_s=True), lambda: Business("x", margin=Fraction(1, 20)),
])  # fmt: skip
def test_a_setting_that_could_not_be_dumped_is_refused_when_it_is_made(make):
    with pytest.raises(TypeError, match="is no number"):
        make()


def test_whatever_counts_as_a_count_can_be_dumped():
    numpy = pytest.importorskip("numpy")
    verdict = Verdict([Errors()], least_bad=numpy.int64(2))
    for t in (-3, -2):
        verdict.feed(Tick(numpy.int64(t), Arm(numpy.int32(50), numpy.uint8(1)), Arm(950, 1)))
    assert Verdict.load(verdict.dump()).dump() == verdict.dump()


@pytest.mark.parametrize("t", [-2.5, -math.inf, None, [], 1j, b"1", "-1", float(-2 * LARGEST), -HUGE])
def test_what_is_no_second_is_refused(t):
    refused(Tick(t, Arm(50, 1), GOOD), (TypeError, ValueError))


@pytest.mark.parametrize("text", [
    b"[" * 200_000, b'{"format":%d,"guards":["x"]}' % FORMAT, b'{"format":%d,"guards":[{"kind":["x"]}]}' % FORMAT,
    b'{"format":%d,"guards":5}' % FORMAT, b" " * 5_000_000,
])  # fmt: skip
def test_packed_text_that_is_no_verdict_is_refused(text):
    with pytest.raises(ValueError, match="no dumped verdict"):
        Verdict.load(zlib.compress(text))


@pytest.mark.parametrize("value", [None, "x", -1, [], {}, [1], math.inf, True])
def test_a_dump_in_which_one_part_is_something_else_is_refused_or_a_verdict(value):
    verdict = everything()
    for t in range(20):
        verdict.feed(Tick(t, Arm(50, 1, {40: 50}), GOOD))
    document = json.loads(zlib.decompress(verdict.dump()))
    for name in document:
        for inner in [None, *(document[name] if isinstance(document[name], dict) else ())]:
            changed = json.loads(json.dumps(document))
            if inner is None:
                changed[name] = value
            else:
                changed[name][inner] = value
            try:
                assert isinstance(Verdict.load(zlib.compress(json.dumps(changed).encode())), Verdict)
            except ValueError:
                continue


@pytest.mark.parametrize("dump", [None, 5, "text", [], {}])
def test_what_is_not_even_bytes_is_refused(dump):
    with pytest.raises((TypeError, ValueError)):
        Verdict.load(dump)
