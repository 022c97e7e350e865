"""How a watch ends follows from the seconds alone."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitless.kit.units import EVERYBODY, Share
from hitless.plan.instances import InstanceId
from hitless.signals.ending import Decision, GoBack, GoOn, Stay
from hitless.signals.ports import ArmCount, Second
from hitless.signals.steps import Watch
from hitless.signals.watching import Watching

BEGIN = 1000
STEP = Watch(service="orders", baseline="a", canary="b", share=Share(500), bake_s=10, no_evidence_s=60)
ALONE = replace(STEP, share=EVERYBODY)
GOOD = ArmCount(requests=5, users=5)
BAD = ArmCount(requests=5, failed=4, users=5, bad_users=1)
NONE = ArmCount()


def second(at: int, *, baseline: ArmCount = GOOD, canary: ArmCount = GOOD, lost: int = 0) -> Second:
    return Second(at=at, arms={("orders", "a"): baseline, ("orders", "b"): canary}, lost=lost)


def watched(*seconds: Second, step: Watch = STEP) -> Watching:
    watching = Watching(step, float(BEGIN))
    for each in seconds:
        watching.count(each)
    return watching


def ending(watching: Watching, at: float) -> str:
    return _name(watching.decide(at))


def _name(decision: Decision) -> str:
    match decision:
        case GoOn():
            return "on"
        case GoBack(failure=failure):
            return failure.code
        case Stay(holds=holds):
            return "holds" if holds else "stays"


def test_a_step_that_is_observed_and_not_worse_goes_on_after_its_bake() -> None:
    assert ending(watched(*(second(BEGIN + s) for s in range(9))), BEGIN + 10.5) == "stays"
    assert ending(watched(*(second(BEGIN + s) for s in range(10))), BEGIN + 11.5) == "on"


def test_who_takes_a_step_up_again_looks_at_what_was_missed_before_it_goes_on() -> None:
    watching = watched(*(second(BEGIN + s) for s in range(10)))
    assert _name(watching.decide(BEGIN + 14.0, settled=False)) == "stays"
    for missed in (second(BEGIN + 10 + s, canary=BAD) for s in range(4)):
        watching.count(missed)
    assert _name(watching.decide(BEGIN + 14.0, settled=False)) == "canary-fails"


@pytest.mark.parametrize("silent", ["baseline", "canary"])
def test_without_a_user_in_each_arm_the_step_holds_and_then_goes_back(silent: str) -> None:
    watching = watched(*(second(BEGIN + s, **{silent: NONE}) for s in range(59)))
    assert ending(watching, BEGIN + 9.0) == "stays"
    assert ending(watching, BEGIN + 59.0) == "holds"
    assert silent in watching.needs
    assert ending(watching, BEGIN + 60.0) == "no-evidence"


def test_a_held_step_says_how_many_requests_it_is_likely_to_need() -> None:
    assert "about 20 requests" in watched(second(BEGIN, canary=NONE)).needs


def test_a_run_that_was_held_has_all_its_time_again_once_it_goes_on() -> None:
    for step in (STEP, replace(STEP, evidence="required")):
        watching = Watching(step, float(BEGIN), resumed_at=BEGIN + 5000.0)
        watching.count(second(BEGIN, lost=1))
        assert ending(watching, BEGIN + 5059.9) == "holds"
        assert ending(watching, BEGIN + 5060) == "no-evidence"


def test_one_late_user_ends_the_hold() -> None:
    watching = watched(*(second(BEGIN + s, canary=NONE) for s in range(30)), second(BEGIN + 30))
    assert ending(watching, BEGIN + 32.0) == "on"


def test_requests_of_nobody_are_no_users() -> None:
    watching = watched(*(second(BEGIN + s, canary=ArmCount(requests=5)) for s in range(20)))
    assert ending(watching, BEGIN + 21.0) == "holds"


def test_seconds_before_the_step_are_not_its_own() -> None:
    watching = Watching(STEP, BEGIN + 0.5)
    watching.count(second(BEGIN))
    assert not watching.observed


def test_seconds_with_lost_records_are_no_evidence_and_do_not_bake() -> None:
    watching = watched(*(second(BEGIN + s, lost=3) for s in range(59)))
    assert ending(watching, BEGIN + 59.9) == "holds"
    assert ending(watching, BEGIN + 60.0) == "no-evidence"


def test_lost_seconds_only_make_the_bake_longer() -> None:
    watching = watched(*(second(BEGIN + s, lost=s % 2) for s in range(19)))
    assert ending(watching, BEGIN + 20.0) == "on"


def test_a_source_that_falls_silent_holds_the_step_and_then_takes_it_back() -> None:
    watching = watched(*(second(BEGIN + s) for s in range(5)))
    assert ending(watching, BEGIN + 64.0) == "stays"
    assert ending(watching, BEGIN + 65.0) == "no-evidence"


def test_while_the_past_still_comes_in_the_clock_decides_nothing() -> None:
    for step in (STEP, replace(STEP, evidence="none")):
        assert _name(watched(step=step).decide(BEGIN + 600.0, settled=False)) in {"stays", "holds"}


def test_evidence_none_goes_on_without_a_single_request() -> None:
    step = replace(STEP, evidence="none")
    assert ending(watched(step=step), BEGIN + 9.9) == "stays"
    assert ending(watched(step=step), BEGIN + 10.0) == "on"


def test_evidence_required_waits_for_fine_and_not_for_ever() -> None:
    watching = watched(*(second(BEGIN + s) for s in range(59)), step=replace(STEP, evidence="required"))
    assert ending(watching, BEGIN + 59.0) == "holds"
    assert "fine" in watching.needs
    assert ending(watching, BEGIN + 60.0) == "no-evidence"


def test_at_100_percent_nothing_is_compared_and_the_bake_is_enough() -> None:
    watching = watched(*(second(BEGIN + s, baseline=NONE, canary=NONE) for s in range(10)), step=ALONE)
    assert ending(watching, BEGIN + 11.0) == "on"
    assert watching.numbers()["verdict"] == "no baseline"


@pytest.mark.parametrize("step", [STEP, ALONE, replace(STEP, evidence="none"), replace(STEP, evidence="required")])
def test_a_version_that_fails_most_requests_goes_back_at_once_in_every_kind_of_step(step: Watch) -> None:
    watching = watched(*(second(BEGIN + s, canary=BAD) for s in range(4)), step=step)
    decision = watching.decide(BEGIN + 4.5)
    assert isinstance(decision, GoBack)
    assert decision.failure.code == "canary-fails"
    assert "16 of 20 requests in 5 s" in decision.failure.text
    assert (watching.numbers()["verdict"], watching.numbers()["guard"]) == ("worse", "breaker")


def test_a_second_that_comes_again_does_not_trip_the_breaker() -> None:
    watching = Watching(STEP, float(BEGIN))
    for at in (BEGIN + 1, BEGIN + 2, BEGIN + 1, BEGIN + 2):
        watching.count(second(at, canary=ArmCount(requests=5, failed=4, users=5, bad_users=4)))
    assert not isinstance(watching.decide(BEGIN + 4.0), GoBack)


def test_an_outage_that_both_versions_feel_is_not_the_new_ones_fault_and_no_evidence_either() -> None:
    outage = [second(BEGIN + s, canary=BAD, baseline=BAD) for s in range(12)]
    watching = watched(*outage)
    assert ending(watching, BEGIN + 12.5) == "stays"
    assert watching.intact_s < STEP.bake_s
    for each in (second(BEGIN + 12 + s, canary=BAD) for s in range(10)):  # over, for the old version alone
        watching.count(each)
    assert ending(watching, BEGIN + 22.5) == "canary-fails"


def test_failures_count_also_in_seconds_that_lost_records() -> None:
    assert ending(watched(*(second(BEGIN + s, canary=BAD, lost=1) for s in range(4))), BEGIN + 4.5) == "canary-fails"


def test_a_baseline_or_another_service_that_fails_is_not_held_against_the_new_version() -> None:
    everywhere = {("web", "b"): BAD, ("orders", "a"): BAD, ("orders", "b"): GOOD}
    watching = watched(*(Second(at=BEGIN + s, arms=everywhere) for s in range(10)))
    assert ending(watching, BEGIN + 11.0) == "on"


B1, B2, A1, OTHER = (InstanceId.parse(text) for text in ("orders-b1", "orders-b2", "orders-a1", "web-b1"))


@pytest.mark.parametrize(
    ("looks", "crashes"),
    [
        ([{B1: 0}, {B1: 1}], 0),
        ([{B1: 0}, {B1: 1}, {B1: 2}], 2),
        ([{B1: 0, B2: 0}, {B1: 1, B2: 1}], 2),
        ([{B1: 7}, {B1: 8}], 0),  # what was before the watch is not counted
        ([{B1: 7}, {B1: 9}], 2),
        ([{A1: 0, OTHER: 0}, {A1: 9, OTHER: 9}], 0),  # the old version, another service
        ([{B1: 5}, {}, {B1: 0}], 0),  # stopped and started anew
        ([{}, {B1: 2}], 2),
    ],
)
def test_two_crashes_of_the_new_version_since_the_watch_began_take_it_back(
    looks: list[dict[InstanceId, int]], crashes: int
) -> None:
    watching = watched()
    for look in looks:
        watching.restarted(look)
    decision = watching.decide(BEGIN + 1.0)
    assert _name(decision) == ("canary-crashes" if crashes else "stays")
    if crashes:
        assert watching.numbers()["guard"] == "crash"


def test_the_numbers_name_what_was_seen() -> None:
    numbers = watched(second(BEGIN), second(BEGIN + 1, lost=2), second(BEGIN + 2)).numbers()
    assert numbers["canary"] == {"requests": 10, "failed": 0, "users": 10, "bad_users": 0}
    assert numbers["seconds"] == {"seen": 2, "lost": 1}
    assert numbers["verdict"] == "undecided"


arm_counts = st.builds(
    lambda users, failed, extra: ArmCount(requests=users + extra, failed=min(failed, users), users=users),
    st.integers(0, 30),
    st.integers(0, 30),
    st.integers(0, 3),
)


@given(st.lists(st.tuples(arm_counts, arm_counts, st.integers(0, 1)), max_size=40), st.floats(0, 100))
def test_no_step_goes_on_without_evidence(told: list[tuple[ArmCount, ArmCount, int]], later_s: float) -> None:
    """Whatever comes: on means that each arm had a user in whole seconds of the bake's length."""
    watching = watched()
    users = {"baseline": 0, "canary": 0}
    whole = 0
    for number, (baseline, canary, lost) in enumerate(told):
        watching.count(second(BEGIN + number, baseline=baseline, canary=canary, lost=lost))
        if not lost:
            whole += 1
            users["baseline"] += baseline.users
            users["canary"] += canary.users
    if ending(watching, BEGIN + len(told) + later_s) == "on":
        assert whole >= STEP.bake_s
        assert all(users.values())


@given(st.lists(st.tuples(arm_counts, arm_counts), max_size=30), st.integers(0, 30))
def test_a_new_controller_that_counts_again_decides_the_same(told: list[tuple[ArmCount, ArmCount]], cut: int) -> None:
    seconds = [second(BEGIN + number, baseline=each[0], canary=each[1]) for number, each in enumerate(told)]
    once, again = watched(*seconds), watched(*seconds[:cut])
    for each in seconds[cut:]:
        again.count(each)
    now = BEGIN + len(told) + 1.0
    assert (ending(once, now), once.numbers()) == (ending(again, now), again.numbers())


def test_a_new_controller_goes_on_with_the_seconds_of_a_watch_but_a_watch_that_begins_anew_does_not() -> None:
    kept = watched(*(second(BEGIN + s) for s in range(12))).dump()
    same, anew = Watching(STEP, float(BEGIN)), Watching(STEP, BEGIN + 20.0)
    same.restore(kept)
    anew.restore(kept)
    assert ending(same, BEGIN + 13.0) == "on"
    assert ending(anew, BEGIN + 21.0) == "stays"
