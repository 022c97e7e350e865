"""Users who do what is expected of them, or do not: each once in a test, when the time is over."""

import pytest

from hitless.plan.instances import Slot
from hitless.signals import outcomes
from hitless.signals.counting import Counter, Observed
from hitless.signals.outcomes import Conversion
from hitless.signals.ports import ArmCount, Second

BEGIN_MS = 1_000_000
BUYS = Conversion(at="orders", method="POST", within_s=5)


def met(at_ms: int, user: str, slot: Slot = "a", service: str = "web", did: str = "GET", **more: object) -> Observed:
    return Observed(BEGIN_MS + at_ms, service, slot, user, False, 10.0, did=did, **more)  # type: ignore[arg-type]


def counted(*records: Observed, until_s: int = 20) -> list[Second]:
    counter = Counter(BEGIN_MS)
    counter.begin("web", BUYS)
    seconds = []
    for at_ms in range(0, until_s * 1000, 500):
        counter.count([each for each in records if BEGIN_MS + at_ms <= each.at_ms < BEGIN_MS + at_ms + 500])
        seconds += counter.close(BEGIN_MS + at_ms + 500)
    return seconds


def closed(*records: Observed) -> dict[Slot, tuple[int, int]]:
    """Users and those who did not convert, by slot, of all outcomes that closed."""
    both = [met(10, "old-one"), met(20, "new-one", "b")]
    total: dict[Slot, tuple[int, int]] = {"a": (-1, -1), "b": (-1, -1)}
    for second in counted(*both, *records):
        for (_, slot), count in second.outcomes.items():
            users, lost = total[slot]
            total[slot] = users + count.users, lost + count.bad_users
    return total


def test_who_buys_in_time_has_converted_and_who_does_not_has_not() -> None:
    bought = met(900, "ann", "a", "orders", "POST")
    assert closed(met(500, "ann"), met(500, "ben"), met(600, "eve", "b"), bought) == {"a": (2, 1), "b": (1, 1)}


@pytest.mark.parametrize(
    ("what", "lost"),
    [
        (met(900, "ann", service="orders", did="GET"), 1),
        (met(900, "ann", service="accounts", did="POST"), 1),
        (met(900, "ann", service="orders", did=""), 1),  # it failed
        (met(5400, "ann", service="orders", did="POST"), 0),
        (met(5600, "ann", service="orders", did="POST"), 1),  # too late
    ],
)
def test_only_what_is_expected_counts_and_only_in_time(what: Observed, lost: int) -> None:
    assert closed(met(500, "ann"), what)["a"] == (1, lost)


def test_a_user_counts_once_in_the_version_met_first_whatever_comes_later() -> None:
    again = [met(1000 * second, "ann", "b") for second in range(1, 14)]
    assert closed(met(500, "ann"), *again) == {"a": (1, 1), "b": (0, 0)}


def test_a_user_counts_in_the_second_in_which_the_time_is_over() -> None:
    seconds = counted(met(10, "ann"), met(20, "ben", "b"))
    (only,) = [second for second in seconds if second.outcomes]
    assert only.at == BEGIN_MS // 1000 + 5
    assert only.outcomes["web", "b"] == ArmCount(users=1, bad_users=1)


def test_before_a_test_begins_and_after_it_has_ended_nobody_is_in_it() -> None:
    counter = Counter(BEGIN_MS)
    counter.count([met(10, "ann"), met(20, "ben", "b")])
    counter.begin("web", BUYS)
    counter.count([met(500, "eve", "b")])
    counter.end("web")
    counter.count([met(600, "bob", "b")])
    assert not any(second.outcomes for second in counter.close(BEGIN_MS + 9000))


def test_beyond_the_bound_every_second_user_is_followed_it_is_said_and_users_are_never_refused_for_good(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outcomes, "USERS_LIMIT", 500)
    counter = Counter(BEGIN_MS)
    counter.begin("web", BUYS)
    users = {"a": 0, "b": 0}
    late = 0
    for second in range(60):
        met_now = [met(1000 * second + n, f"u{second}-{n}", "b" if n % 2 else "a") for n in range(100)]
        counter.count([*met_now, met(1000 * second + 200, f"u{second // 2}-7", "b")])  # who comes again is not new
        for closed_second in counter.close(BEGIN_MS + 1000 * second + 999):
            for (_, slot), count in closed_second.outcomes.items():
                users[slot] += count.users
                late += count.users if second > 50 else 0
    assert closed_second.one_in["web"] >= 8
    assert len(counter._outcomes["web"]._users) <= 500
    assert late > 0
    assert 0.7 < users["a"] / users["b"] < 1.4
    assert users["a"] + users["b"] < 6000


def test_with_a_new_test_everybody_is_new() -> None:
    counter = Counter(BEGIN_MS)
    for run in range(2):
        counter.begin("web", BUYS)
        at_ms = run * 8000
        counter.count([met(at_ms, "eve"), met(at_ms + 10, "ann", "b"), met(at_ms + 20, "ben")])
        seconds = counter.close(BEGIN_MS + at_ms + 7500)
        users = {user for second in seconds for user in second.outcomes}
        assert users == {("web", "a"), ("web", "b")}


def test_users_new_to_a_service_with_two_versions_are_counted_once_and_by_cells_of_their_buckets() -> None:
    records = [
        met(10, "ann", "b", bucket="49"),
        met(20, "ben", bucket="150"),
        met(30, "ben", bucket="150"),
    ]
    failed = Observed(BEGIN_MS + 40, "web", "a", "eve", True, 10.0, bucket="9999")
    first = counted(*records, failed)[0]
    assert (first.arms["web", "b"].assigned, first.arms["web", "a"].assigned) == (1, 2)
    assert first.arms["web", "a"].parts == {3: (2, 0), 199: (1, 1)}
    assert first.arms["web", "b"].parts == {}  # nobody was bad
