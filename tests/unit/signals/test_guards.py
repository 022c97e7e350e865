"""Every guard that a change file can ask for, in a watch: what it sees, what it does then, and after a kill."""

import json
import random
from dataclasses import replace

import pytest

from hitless.kit.units import EVERYBODY, Share
from hitless.plan.instances import InstanceId
from hitless.signals import guards
from hitless.signals.ending import GoBack, GoOn, Stay
from hitless.signals.metrics import Full, Load
from hitless.signals.outcomes import Conversion
from hitless.signals.parts import CELLS, groups
from hitless.signals.ports import ArmCount, Second
from hitless.signals.steps import Watch
from hitless.signals.watching import Watching
from hitless.signals.wire import read_second, write_second
from hitless.verdict import Verdict

BEGIN = 1000
A1, A2, B1, B2 = (InstanceId.parse(f"orders-{name}") for name in ("a1", "a2", "b1", "b2"))
FULL = Load(
    name="saturation", source="prometheus", by="version", lag_s=5, every_s=15, load="usage", limit=0.9, for_s=60
)
STEP = Watch(
    service="orders",
    baseline="a",
    canary="b",
    share=Share(1000),
    bake_s=600,
    no_evidence_s=3600,
    canary_version="2",
    baseline_version="1",
    conversion=Conversion(at="orders", method="POST", within_s=60),
    loads=(FULL,),
)
FELT = replace(STEP, metrics=(), loads=())  # nothing but what users feel


def arm(users: int, bad: int = 0, ms_bucket: int = 25, **more: object) -> ArmCount:
    return ArmCount(requests=users, failed=bad, users=users, bad_users=bad, latency={ms_bucket: users - bad}, **more)  # type: ignore[arg-type]


GOOD = arm(10), arm(90)


def second(at: int, canary: ArmCount = GOOD[0], baseline: ArmCount = GOOD[1], **more: object) -> Second:
    return Second(at=at, arms={("orders", "a"): baseline, ("orders", "b"): canary}, **more)  # type: ignore[arg-type]


def outcomes(canary: tuple[int, int], baseline: tuple[int, int]) -> dict[str, object]:
    counts = {("orders", "b"): canary, ("orders", "a"): baseline}
    return {"outcomes": {arm: ArmCount(users=users, bad_users=lost) for arm, (users, lost) in counts.items()}}


def gone_at(watching: Watching, seconds: list[Second]) -> int | None:
    for each in seconds:
        watching.count(each)
        if isinstance(watching.decide(each.at + 2.0), GoBack):
            return each.at
    return None


def test_users_who_no_longer_buy_take_a_version_back_that_answers_every_request() -> None:
    watching = Watching(STEP, float(BEGIN))
    closing = [second(BEGIN + n, **outcomes((10, 10), (90, 81))) for n in range(1, 600)]
    assert gone_at(watching, closing) is not None
    numbers = watching.numbers()
    assert (numbers["verdict"], numbers["guard"]) == ("worse", "business")
    assert "users of orders 2 do not POST to orders in time" in numbers["reason"]


def test_as_many_who_buy_or_a_few_fewer_take_nothing_back() -> None:
    watching = Watching(STEP, float(BEGIN))
    same = [second(BEGIN + n, **outcomes((10, 9 - n % 50 // 49), (90, 81))) for n in range(1, 599)]
    assert gone_at(watching, same) is None
    assert "business" in watching.numbers()["evidence"]


def test_arms_that_do_not_get_the_users_meant_for_them_hold_the_step_say_so_and_end_it_at_last() -> None:
    watching = Watching(replace(STEP, bake_s=60, no_evidence_s=300), float(BEGIN))
    off = [second(BEGIN + n, arm(10, assigned=3), arm(90, assigned=7)) for n in range(1, 200)]
    assert gone_at(watching, off) is None
    decision = watching.decide(BEGIN + 200.0)
    assert isinstance(decision, Stay)
    assert decision.holds
    assert "its share is 0.1" in decision.needs
    assert "its share is 0.1" in watching.numbers()["doubts"][0]
    last = watching.decide((watching.void_since or 0) + 301.0)
    assert isinstance(last, GoBack)
    assert last.failure.code == "no-evidence"


@pytest.mark.parametrize("killed", [False, True])
def test_shares_that_go_off_late_in_a_long_bake_have_the_whole_time_to_get_well(killed: bool) -> None:
    step = replace(FELT, bake_s=600, no_evidence_s=60)
    watching = Watching(step, float(BEGIN))
    good = [second(BEGIN + n, arm(10, assigned=1), arm(90, assigned=9)) for n in range(1, 300)]
    off = [second(BEGIN + n, arm(10, assigned=10), arm(90, assigned=0)) for n in range(300, 340)]
    assert gone_at(watching, good + off) is None
    assert (since := watching.void_since) is not None
    if killed:
        kept, watching = watching.dump(), Watching(step, float(BEGIN))
        watching.restore(kept)
    assert isinstance(watching.decide(since + 59.0), Stay)
    assert isinstance(watching.decide(since + 61.0), GoBack)


def test_a_fine_version_that_must_have_evidence_may_bake_for_longer_than_it_may_wait() -> None:
    step = replace(FELT, evidence="required", bake_s=600, no_evidence_s=300, sample_ratio=False)
    watching = Watching(step, float(BEGIN))
    seconds = [second(BEGIN + n, arm(10), arm(90, bad=9)) for n in range(1, 602)]
    assert gone_at(watching, seconds[:400]) is None
    assert watching.finding == "fine"
    for each in seconds[400:]:
        watching.count(each)
    assert isinstance(watching.decide(BEGIN + 603.0), GoOn)


@pytest.mark.parametrize(("load", "gone"), [(0.95, True), (0.5, False)])
def test_where_there_is_no_old_version_a_full_one_is_held_against_its_own_limit(load: float, gone: bool) -> None:
    watching = Watching(replace(STEP, share=EVERYBODY), float(BEGIN))
    for n in range(1, 120):
        full = (Full(metric="saturation", until=BEGIN + n, canary=load),) if n % 15 == 0 else ()
        watching.count(second(BEGIN + n), full)
    assert isinstance(watching.decide(BEGIN + 122.0), GoBack) == gone
    assert watching.numbers()["guard"] == ("saturation" if gone else "")


def test_a_version_that_is_full_over_several_short_steps_is_full_all_the_same() -> None:
    watching, steps = Watching(STEP, float(BEGIN)), [replace(STEP, share=share) for share in (Share(3000), EVERYBODY)]
    for n in range(1, 120):
        if n in {40, 80}:
            kept, watching = watching.dump(), Watching(steps[n // 80], float(BEGIN + n), position=n)
            watching.restore(kept)
            assert watching.measured_until["saturation"] == BEGIN + n // 15 * 15
        full = (Full(metric="saturation", until=BEGIN + n, canary=0.95),) if n % 15 == 0 else ()
        watching.count(second(BEGIN + n), full)
        if isinstance(watching.decide(BEGIN + n + 1.0), GoBack):
            break
    assert (n, watching.numbers()["guard"]) == (75, "saturation")


def test_shares_that_are_as_meant_hold_nothing_nor_does_a_group_that_was_chosen() -> None:
    chance = random.Random(3)
    for step in (FELT, replace(FELT, group="staff"), replace(FELT, sample_ratio=False)):
        watching = Watching(step, float(BEGIN))
        part = 0.1 if step is FELT else 0.4
        for n in range(1, 602):
            ours = sum(chance.random() < part for _ in range(10))
            watching.count(second(BEGIN + n, arm(10, assigned=ours), arm(90, assigned=10 - ours)))
        assert isinstance(watching.decide(BEGIN + 603.0), GoOn)


def test_a_version_that_ends_more_often_goes_back_also_where_a_few_ends_are_borne() -> None:
    watching = Watching(replace(STEP, crashes=32), float(BEGIN))
    for n in range(1, 300):
        watching.restarted({A1: 0, A2: 0, B1: n // 10, B2: 0})
        watching.count(second(BEGIN + n))
    assert watching.numbers()["guard"] == "crashes"
    assert "instances of orders 2 end by themselves" in watching.numbers()["reason"]


def test_ends_in_a_second_that_lost_records_are_counted_with_the_next_one() -> None:
    step, fed = replace(STEP, crashes=1000), []
    for lost in (0, 1):
        watching = Watching(step, float(BEGIN))
        for n in range(1, 100):
            watching.restarted({A1: 0, A2: 0, B1: n // 2, B2: 0})
            watching.count(second(BEGIN + n, lost=lost if n % 2 == 0 else 0))  # they end in seconds that are lost
        fed.append(watching.comparison.numbers()["evidence"]["crashes"])
    assert fed[0] > 100 * guards.CRASHES
    assert fed[1] > 100 * guards.CRASHES


def test_shares_that_no_controller_kept_are_watched_from_now_on_with_the_alpha_set_aside_for_them() -> None:
    before = Watching(STEP, float(BEGIN))
    kept = before.comparison.dump()
    del kept["shares"]
    after = Watching(STEP, float(BEGIN)).comparison
    after.restore(kept)
    (shares,) = guards.shares(STEP)
    assert after._worse.alpha + STEP.stages * shares.alpha == pytest.approx(STEP.alpha)  # type: ignore[attr-defined]
    for n in range(1, 200):
        after.feed(second(BEGIN + n, arm(10, assigned=9), arm(90, assigned=1)), STEP)
    assert after.void


def test_a_part_of_the_users_that_is_followed_is_said_with_the_numbers() -> None:
    watching = Watching(STEP, float(BEGIN))
    watching.count(second(BEGIN + 1))
    assert "one_in" not in watching.numbers()
    watching.count(second(BEGIN + 2, one_in={"orders": 4, "web": 8}))
    assert watching.numbers()["one_in"] == 4


def test_versions_that_end_equally_often_are_equally_bad() -> None:
    watching = Watching(replace(STEP, crashes=32), float(BEGIN))
    for n in range(1, 300):
        watching.restarted({A1: n // 10, A2: 0, B1: n // 10, B2: 0})
        watching.count(second(BEGIN + n))
    assert not isinstance(watching.decide(BEGIN + 302.0), GoBack)
    assert watching.numbers()["restarts"] == 29


def test_ends_of_processes_while_no_controller_lived_are_counted_by_the_next_one() -> None:
    first = Watching(STEP, float(BEGIN))
    first.restarted({B1: 0})
    first.restarted({B1: 1})
    first.count(second(BEGIN + 1))
    then = Watching(STEP, float(BEGIN))
    then.restore(first.dump())
    then.restarted({B1: 2})
    decision = then.decide(BEGIN + 3.0)
    assert isinstance(decision, GoBack)
    assert decision.failure.code == "canary-crashes"


def cells(rates: dict[int, int], users: int = 3) -> dict[int, tuple[int, int]]:
    return {cell: (users, bad) for cell, bad in rates.items()}


def spread(n: int, share: int, canary_s: int, baseline_s: int) -> Second:
    """Three users a second in each cell; one of each arm's is bad every so many seconds, in another cell each time."""
    ours, theirs = cells(dict.fromkeys(range(share), 0)), cells(dict.fromkeys(range(share, CELLS), 0))
    bad, against = int(n % canary_s == 0), int(n % baseline_s == 0)
    ours[n // canary_s % share] = 3, bad
    theirs[share + n * 7 // baseline_s % (CELLS - share)] = 3, against
    return second(
        BEGIN + n, arm(3 * share, bad, parts=ours), arm(3 * (CELLS - share), against, parts=theirs if against else {})
    )


def test_groups_take_a_version_back_where_users_are_not_told_apart() -> None:
    watching = Watching(replace(STEP, errors_by="groups"), float(BEGIN))
    assert gone_at(watching, [spread(n, 20, 1, 2) for n in range(1, 1200)]) is not None
    assert watching.numbers()["guard"] == "errors by group"


def test_groups_that_fare_alike_take_nothing_back() -> None:
    watching = Watching(replace(STEP, errors_by="groups"), float(BEGIN))
    assert gone_at(watching, [spread(n, 20, 18, 2) for n in range(1, 1200)]) is None


def test_clustered_errors_are_told_and_no_evidence_but_groups_go_on_to_compare() -> None:
    """All failures of the old version come from one group of its users, and the new version has such a group too."""
    watching = Watching(STEP, float(BEGIN))
    for n in range(1, 500):
        theirs = cells(dict.fromkeys(range(20, CELLS), 0)) | {30: (3, int(n % 5 == 0))}
        ours = cells(dict.fromkeys(range(20), 0)) | {3: (3, int(n % 5 == 1))}
        watching.count(second(BEGIN + n, arm(60, int(n % 5 == 1), parts=ours), arm(540, int(n % 5 == 0), parts=theirs)))
    assert not isinstance(watching.decide(BEGIN + 502.0), GoBack)
    numbers = watching.numbers()
    assert any("clustered" in doubt for doubt in numbers["doubts"])
    assert numbers["evidence"]["errors"] == 0.0
    assert numbers["evidence"]["errors by group"] > 0.0


@pytest.mark.parametrize("buckets", [1, 50, 100, 130, 500, 2500, 5000, 9000, 9950, 9999])
def test_groups_are_of_one_size_and_wholly_in_one_arm(buckets: int) -> None:
    one_each = dict.fromkeys(range(CELLS), (1, 0))
    ours, theirs = groups(Share(buckets), one_each, one_each)
    sizes = {users for users, _ in (*ours, *theirs)}
    assert len(sizes) == (0 if buckets < 100 or buckets > 9900 else 1)
    below, above = buckets // 50, CELLS - -(-buckets // 50)
    assert sum(users for users, _ in ours) <= below
    assert sum(users for users, _ in theirs) <= above
    if sizes:
        assert len(ours) >= 2
        assert len(ours) + len(theirs) >= 7


@pytest.mark.parametrize(
    ("canary", "baseline", "gone"), [(0.95, 0.5, True), (0.95, 0.95, False), (0.8, 0.5, False), (None, None, False)]
)
def test_a_version_that_alone_is_full_for_long_goes_back(
    canary: float | None, baseline: float | None, gone: bool
) -> None:
    watching = Watching(STEP, float(BEGIN))
    for n in range(1, 120):
        full = (Full(metric="saturation", until=BEGIN + n, canary=canary, baseline=baseline),) if n % 15 == 0 else ()
        watching.count(second(BEGIN + n), full)
    assert isinstance(watching.decide(BEGIN + 122.0), GoBack) == gone
    if gone:
        assert watching.numbers()["guard"] == "saturation"
        assert "orders 2: the canary alone has been at 0.9 of its capacity" in watching.numbers()["reason"]


def test_full_for_one_interval_is_seen_though_looks_come_a_second_late_now_and_then() -> None:
    watching = Watching(replace(STEP, loads=(replace(FULL, for_s=15),)), float(BEGIN))
    for n in range(1, 80):
        full = (Full(metric="saturation", until=BEGIN + n, canary=1.0),) if n in {15, 31, 47, 63, 79} else ()
        watching.count(second(BEGIN + n), full)
    assert watching.numbers()["guard"] == "saturation"


def test_a_source_of_loads_that_falls_silent_between_two_full_looks_is_no_evidence() -> None:
    watching = Watching(STEP, float(BEGIN))
    for n in range(1, 300):
        full = (Full(metric="saturation", until=BEGIN + n, canary=1.0),) if n in {15, 290} else ()
        watching.count(second(BEGIN + n), full)
    assert not isinstance(watching.decide(BEGIN + 302.0), GoBack)


def test_what_is_slow_in_the_warm_up_is_no_evidence_and_the_bake_begins_after_it() -> None:
    cold = [second(BEGIN + n, arm(10, ms_bucket=60)) for n in range(1, 60)]
    warm = [second(BEGIN + n) for n in range(60, 122)]
    step = replace(FELT, bake_s=60)
    watching = Watching(replace(step, warm_up_s=60), float(BEGIN))
    assert gone_at(watching, cold) is None
    assert watching.intact_s == 0
    assert gone_at(watching, warm) is None
    assert isinstance(watching.decide(BEGIN + 124.0), GoOn)
    assert gone_at(Watching(step, float(BEGIN)), cold) is not None


def test_what_is_broken_goes_at_once_also_in_the_warm_up() -> None:
    watching = Watching(replace(STEP, warm_up_s=300), float(BEGIN))
    assert gone_at(watching, [second(BEGIN + n, arm(10, 8)) for n in range(1, 10)]) is not None
    assert watching.numbers()["guard"] == "breaker"
    assert watching.numbers()["users_needed"] == 0


def everything(n: int, chance: random.Random) -> tuple[Second, tuple[Full, ...], dict[InstanceId, int]]:
    each = spread(n, 20, 3, 2)
    ours, theirs = each.arms["orders", "b"], each.arms["orders", "a"]
    arms = {
        ("orders", "b"): replace(ours, assigned=chance.randrange(2)),
        ("orders", "a"): replace(theirs, assigned=chance.randrange(18)),
    }
    full = (Full(metric="saturation", until=BEGIN + n, canary=chance.random()),) if n % 15 == 0 else ()
    met = replace(each, arms=arms, **outcomes((2, chance.randrange(3)), (18, chance.randrange(19))))  # type: ignore[arg-type]
    return met, full, {A1: 0, A2: n // 40, B1: n // 30, B2: 0}


def test_a_controller_that_is_killed_at_any_second_decides_the_same_with_every_guard() -> None:
    for errors_by in ("users", "groups"):
        step = replace(STEP, crashes=32, errors_by=errors_by)
        told = [everything(n, random.Random(n)) for n in range(1, 120)]
        once, often = (Watching(step, float(BEGIN)) for _ in range(2))
        for each, full, restarts in told:
            again = Watching(step, float(BEGIN))
            again.restore(often.dump())
            often = again
            for watching in (once, often):
                watching.restarted(restarts)
                watching.count(each, full)
            assert often.numbers() == once.numbers()


def test_all_guards_together_share_one_alpha() -> None:
    (shares,) = guards.shares(replace(STEP, stages=4))
    assert guards.alpha_against(STEP) + 4 * shares.alpha == pytest.approx(STEP.alpha)  # type: ignore[attr-defined]
    verdict = Verdict(guards.against(STEP), alpha=guards.alpha_against(STEP))
    parts = verdict.evidence()
    assert sum(parts.values()) == pytest.approx(1.0)
    assert parts["errors"] > 0.5 > parts["latency"] > parts["business"] > parts["crashes"] > parts["saturation"] == 0.0


def test_at_100_percent_there_is_nothing_to_compare_and_no_share() -> None:
    watching = Watching(replace(FELT, share=EVERYBODY, bake_s=10), float(BEGIN))
    for n in range(1, 12):
        watching.count(second(BEGIN + n, arm(10, assigned=9), arm(0)))
    assert isinstance(watching.decide(BEGIN + 13.0), GoOn)


def test_a_second_comes_over_the_wire_as_it_was() -> None:
    met, _, _ = everything(6, random.Random(1))
    assert read_second(write_second(met)) == met
    thinned = replace(met, one_in={"orders": 4})
    assert read_second(write_second(thinned)) == thinned
    assert json.loads(write_second(met))["outcomes"]


def test_what_is_still_needed_is_told_also_where_nobody_was_bad_with_the_old_version() -> None:
    watching, told = Watching(STEP, float(BEGIN)), []
    for n in range(1, 200):
        watching.count(second(BEGIN + n, arm(10, bad=int(n % 5 == 0))))
        numbers = watching.numbers()
        assert numbers["users_needed"] == numbers["needed"]["requests"]
        told.append((numbers["users_needed"], numbers["needed"]["supposed"]))
        if watching.finding == "worse":
            break
    assert watching.finding == "worse"
    needed = [each for each, supposed in told if each and supposed is None]
    assert 0 < needed[-1] < needed[0] < 1000
    assert all(each for each, supposed in told if supposed)
    assert told[-1] == (0, None)


def test_what_a_guard_would_still_need_is_told_of_requests_alone() -> None:
    watching = Watching(FELT, float(BEGIN))
    for n in range(1, 12):
        watching.count(second(BEGIN + n, **outcomes((10, 10), (90, 81))))
    numbers = watching.numbers()
    assert (numbers["watches"], numbers["verdict"]) == ("business", "undecided")
    assert numbers["ratio"]["value"] > 1.0
    assert numbers["users_needed"] is None
