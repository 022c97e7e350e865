"""The comparison of a watch: over steps, kills, lost and repeated seconds, and at every service that users touch."""

import json
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitless.kit.units import Share
from hitless.plan.instances import Slot
from hitless.signals.counting import Counter, Observed
from hitless.signals.ending import GoBack, GoOn
from hitless.signals.ports import ArmCount, Second
from hitless.signals.steps import Watch
from hitless.signals.watching import Watching

BEGIN = 1000
STEP = Watch(
    service="orders",
    baseline="a",
    canary="b",
    share=Share(500),
    bake_s=600,
    no_evidence_s=3600,
    elsewhere=("accounts", "web"),
)


def arm(users: int, bad: int = 0, ms_bucket: int = 25) -> ArmCount:
    return ArmCount(requests=users, failed=bad, users=users, bad_users=bad, latency={ms_bucket: users - bad})


def second(at: int, canary: ArmCount, baseline: ArmCount, lost: int = 0) -> Second:
    return Second(at=at, arms={("orders", "a"): baseline, ("orders", "b"): canary}, lost=lost)


def bad_every(canary_s: int, baseline_s: int, seconds: int = 600, begin: int = BEGIN) -> list[Second]:
    """Nine requests a second to the new version and 171 to the old one; one is bad every so many seconds."""
    return [
        second(begin + n, arm(9, int(n % canary_s == 0)), arm(171, int(n % baseline_s == 0)))
        for n in range(1, seconds + 1)
    ]


def fired_at(watching: Watching, seconds: list[Second]) -> int | None:
    for each in seconds:
        watching.count(each)
        if isinstance(watching.decide(each.at + 2.0), GoBack):
            return each.at
    return None


def test_a_version_that_fails_twenty_times_as_often_goes_back_long_before_its_bake_is_over() -> None:
    watching = Watching(STEP, float(BEGIN))
    at = fired_at(watching, bad_every(5, 6))  # 2.2 % against 0.1 %
    assert at is not None
    assert at - BEGIN < 40
    failure = watching.reason
    assert failure is not None
    assert failure.code == "canary-worse"
    assert "users of the new version of orders fail" in failure.text
    numbers = watching.numbers()
    assert (numbers["verdict"], numbers["guard"]) == ("worse", "errors")
    assert numbers["ratio"]["low"] > 1.5


def test_a_version_that_fails_as_often_goes_on_after_its_bake() -> None:
    watching = Watching(STEP, float(BEGIN))
    assert fired_at(watching, bad_every(114, 6)) is None
    assert isinstance(watching.decide(BEGIN + 603.0), GoOn)
    assert watching.numbers()["verdict"] in {"undecided", "fine"}


def test_a_version_that_is_twice_as_slow_goes_back() -> None:
    watching = Watching(STEP, float(BEGIN))
    slow = [second(BEGIN + n, arm(9, ms_bucket=33), arm(171)) for n in range(1, 600)]
    assert fired_at(watching, slow) is not None
    assert watching.numbers()["guard"] == "latency"
    assert "the new version of orders is slower than 1.25 times the old one at p99" in str(watching.reason)


def test_what_is_tolerated_does_not_take_a_version_back() -> None:
    tolerant = replace(STEP, errors_worse=25.0)
    assert fired_at(Watching(tolerant, float(BEGIN)), bad_every(5, 6)) is None


def test_what_was_found_at_one_step_counts_at_the_next() -> None:
    first = Watching(STEP, float(BEGIN), position=3)
    assert fired_at(first, bad_every(10, 6, seconds=31)) is None
    later = replace(STEP, share=Share(2500))
    carried, fresh = (Watching(later, BEGIN + 40.0, position=5) for _ in range(2))
    carried.restore(first.dump())
    assert (carried.canary.users, carried.intact_s) == (0, 0)  # the step itself begins anew
    seconds = bad_every(10, 6, begin=BEGIN + 40)
    found_carried, found_fresh = fired_at(carried, seconds), fired_at(fresh, seconds)
    assert found_carried is not None
    assert found_fresh is not None
    assert found_carried < found_fresh


def test_evidence_required_goes_on_once_the_version_is_shown_to_be_fine() -> None:
    step = replace(STEP, evidence="required", bake_s=10)
    watching = Watching(step, float(BEGIN))
    for n in range(1, 1500):
        watching.count(second(BEGIN + n, arm(50), arm(50, int(n % 5 == 0))))
    assert watching.finding == "fine"
    assert isinstance(watching.decide(BEGIN + 1500.0), GoOn)


def test_a_fine_step_before_does_not_make_the_next_one_fine() -> None:
    step = replace(STEP, evidence="required", bake_s=10)
    first = Watching(step, float(BEGIN), position=1)
    for n in range(1, 1500):
        first.count(second(BEGIN + n, arm(50), arm(50, int(n % 5 == 0))))
    following = Watching(step, BEGIN + 1500.0, position=3)
    following.restore(first.dump())
    assert following.finding == "no evidence"


@pytest.mark.parametrize("kept", [b"", b"[]", b"{}", b'{"next_at": 1, "comparison": {"worse": "eA==", "fine": ""}}'])
def test_what_is_no_kept_watch_is_refused(kept: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Watching(STEP, float(BEGIN)).restore(kept)


counts = st.builds(
    lambda users, bad, bucket: arm(users, min(users, bad), bucket),
    st.integers(0, 30),
    st.integers(0, 2),
    st.integers(0, 110),
)
told = st.lists(st.tuples(counts, counts, st.booleans()), max_size=40)


def seconds_of(plain: list[tuple[ArmCount, ArmCount, bool]]) -> list[Second]:
    return [second(BEGIN + n, new, old, lost=int(lost)) for n, (new, old, lost) in enumerate(plain)]


@given(told, st.lists(st.integers(0, 40), max_size=5))
def test_a_controller_that_is_killed_at_any_second_goes_on_with_the_very_same_test(
    plain: list[tuple[ArmCount, ArmCount, bool]], kills: list[int]
) -> None:
    seconds = seconds_of(plain)
    whole, killed = Watching(STEP, float(BEGIN)), Watching(STEP, float(BEGIN))
    for each in seconds:
        if each.at - BEGIN in kills:
            kept, killed = killed.dump(), Watching(STEP, float(BEGIN))
            killed.restore(kept)
            for again in seconds:  # what the recorder tells again
                if killed.since <= again.at < each.at:
                    killed.count(again)
        whole.count(each)
        killed.count(each)
        assert whole.numbers() == killed.numbers()
        assert type(whole.decide(each.at + 2.0)) is type(killed.decide(each.at + 2.0))


@given(told, st.randoms())
def test_a_second_that_comes_twice_or_too_late_changes_nothing(
    plain: list[tuple[ArmCount, ArmCount, bool]], dice: random.Random
) -> None:
    seconds = seconds_of(plain)
    once, again = Watching(STEP, float(BEGIN)), Watching(STEP, float(BEGIN))
    for number, each in enumerate(seconds):
        once.count(each)
        again.count(each)
        if dice.random() < 0.5:
            again.count(seconds[dice.randrange(number + 1)])
    assert {**once.numbers(), "guard": ""} == {**again.numbers(), "guard": ""}


@given(told)
def test_a_second_with_lost_records_is_no_evidence_whatever_it_shows(
    plain: list[tuple[ArmCount, ArmCount, bool]],
) -> None:
    seconds = seconds_of(plain)
    as_told, emptied = Watching(STEP, float(BEGIN)), Watching(STEP, float(BEGIN))
    for each in seconds:
        as_told.count(each)
        emptied.count(replace(each, arms={}) if each.lost else each)
    assert as_told.comparison.numbers() == emptied.comparison.numbers()


@given(told)
def test_the_numbers_of_every_verdict_can_be_written_into_the_journal(
    plain: list[tuple[ArmCount, ArmCount, bool]],
) -> None:
    watching = Watching(STEP, float(BEGIN))
    for each in seconds_of(plain):
        watching.count(each)
        json.dumps(watching.numbers(), allow_nan=False)


class Town:
    """Users who visit web and then orders; two changes are under way, each with a hash of its own."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.counter = Counter(BEGIN * 1000)
        self.slots: dict[str, dict[str, Slot]] = {
            service: {f"u{n}": self._slot() for n in range(400)} for service in ("web", "search")
        }

    def _slot(self) -> Slot:
        return "b" if self.dice.random() < 0.2 else "a"

    def live(self, at: int, orders_fail_for: str, share: float) -> list[Second]:
        for _ in range(60):
            user = f"u{self.dice.randrange(400)}"
            exposed = self.slots[orders_fail_for][user] == "b"
            fails = self.dice.random() < (share if exposed else 0.002)
            at_ms = at * 1000 + self.dice.randrange(1000)
            self.counter.count(
                [
                    Observed(at_ms, "search", self.slots["search"][user], user, False, 5.0),
                    Observed(at_ms, "orders", "a", user, fails, 5.0),
                    Observed(at_ms, "web", self.slots["web"][user], user, False, 5.0),
                ]
            )
        return self.counter.close((at + 2) * 1000)


@pytest.mark.parametrize("guilty", ["web", "search"])
def test_of_two_changes_under_way_the_one_that_makes_another_service_fail_goes_back_and_says_where(guilty: str) -> None:
    town = Town(7)
    watches = {
        service: Watching(
            replace(STEP, service=service, share=Share(2000), elsewhere=("orders", other)), float(BEGIN + 2)
        )
        for service, other in (("web", "search"), ("search", "web"))
    }
    for at in range(BEGIN + 1, BEGIN + 200):
        for each in town.live(at, guilty, 0.05):
            for watching in watches.values():
                watching.count(each)
    gone = {service for service, watching in watches.items() if isinstance(watching.decide(BEGIN + 205.0), GoBack)}
    assert gone == {guilty}
    numbers = watches[guilty].numbers()
    assert numbers["guard"] == "errors at orders"
    assert f"users of the new version of {guilty} fail at orders" in numbers["reason"]


def test_a_service_that_fails_for_everybody_is_held_against_no_change() -> None:
    town = Town(8)
    watching = Watching(replace(STEP, service="web", share=Share(2000), elsewhere=("orders",)), float(BEGIN + 2))
    for at in range(BEGIN + 1, BEGIN + 200):
        town.slots["all"] = dict.fromkeys(town.slots["web"], "b")
        for each in town.live(at, "all", 0.05):
            watching.count(each)
    assert not isinstance(watching.decide(BEGIN + 205.0), GoBack)
