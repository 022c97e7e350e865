"""Users of a service with two versions are followed to the other services that they touch."""

from hitless.signals import members
from hitless.signals.counting import Counter, Observed
from hitless.signals.ports import ArmCount, Elsewhere, Second
from hitless.signals.wire import read_second, write_second

BEGIN_MS = 1_000_000


def seen(service: str, slot: str, user: str, *, at_ms: int = 1_000_500, failed: bool = False) -> Observed:
    return Observed(at_ms, service, "b" if slot == "b" else "a", user, failed, 10.0)


def counted(*records: Observed) -> list[Second]:
    counter = Counter(BEGIN_MS)
    closed: list[Second] = []
    for record in records:
        closed += counter.close(record.at_ms)
        counter.count([record])
    return closed + counter.close(records[-1].at_ms + 2000)


def found(seconds: list[Second]) -> dict[Elsewhere, tuple[int, int]]:
    sums: dict[Elsewhere, tuple[int, int]] = {}
    for second in seconds:
        for key, arm in second.elsewhere.items():
            users, bad = sums.get(key, (0, 0))
            sums[key] = (users + arm.users, bad + arm.bad_users)
    return sums


TWO_VERSIONS = (seen("web", "a", "old"), seen("web", "b", "new"))


def test_users_are_compared_elsewhere_by_the_version_that_they_met() -> None:
    learnt = (seen("web", "a", "old"), seen("web", "b", "new"))
    touching = [seen("orders", "a", "new", failed=True), seen("orders", "a", "old"), seen("orders", "a", "nobody")]
    assert found(counted(*TWO_VERSIONS, *learnt, *touching)) == {
        ("web", "b", "orders"): (1, 1),
        ("web", "a", "orders"): (1, 0),
    }


def test_the_first_failure_counts_though_the_request_that_brought_it_about_ends_later() -> None:
    """A page asks orders, which fails, and answers itself a moment after: the gateway logs orders first."""
    page = [seen("orders", "a", "u", failed=True), seen("web", "b", "u", at_ms=1_000_700)]
    well = [seen("orders", "a", "v"), seen("web", "a", "v", at_ms=1_001_900)]  # and in the second after
    assert found(counted(*TWO_VERSIONS, *page, *well)) == {
        ("web", "b", "orders"): (1, 1),
        ("web", "a", "orders"): (1, 0),
    }


def test_who_is_met_long_after_is_in_no_arm_before_whether_it_failed_or_not() -> None:
    late = [seen("orders", "a", "u", failed=True), seen("orders", "a", "v")]
    met = [seen("web", "b", "u", at_ms=1_004_000), seen("web", "b", "v", at_ms=1_004_000)]
    assert found(counted(*TWO_VERSIONS, *late, *met)) == {}


def test_with_one_version_of_everything_nobody_is_followed() -> None:
    assert found(counted(seen("web", "a", "u"), seen("orders", "b", "u", failed=True))) == {}


def test_who_moves_to_the_new_version_is_followed_as_its_user() -> None:
    records = [*TWO_VERSIONS, seen("web", "a", "u"), seen("orders", "a", "u"), seen("web", "b", "u")]
    assert found(counted(*records, seen("orders", "a", "u"))) == {
        ("web", "a", "orders"): (1, 0),
        ("web", "b", "orders"): (1, 0),
    }


def test_two_changes_follow_their_users_apart() -> None:
    split = [*TWO_VERSIONS, seen("shop", "a", "x"), seen("shop", "b", "y")]
    learnt = [seen("web", "b", "u"), seen("shop", "a", "u")]
    assert found(counted(*split, *learnt, seen("orders", "a", "u", failed=True))) == {
        ("web", "b", "shop"): (1, 0),
        ("shop", "a", "web"): (1, 0),
        ("web", "b", "orders"): (1, 1),
        ("shop", "a", "orders"): (1, 1),
    }


def test_one_user_who_always_fails_elsewhere_is_one_bad_user() -> None:
    failing = [seen("orders", "a", "u", at_ms=1_001_000 + 100 * n, failed=True) for n in range(500)]
    assert found(counted(*TWO_VERSIONS, seen("web", "b", "u"), *failing)) == {("web", "b", "orders"): (1, 1)}


def test_a_change_that_is_over_is_forgotten() -> None:
    counter = Counter(BEGIN_MS)
    counter.count([*TWO_VERSIONS, seen("web", "b", "u")])
    assert counter._members.split
    counter.close(BEGIN_MS + (members.APART_S + 3) * 1000)
    assert not counter._members.split
    later_ms = BEGIN_MS + (members.APART_S + 4) * 1000
    counter.count([seen("orders", "a", "u", at_ms=later_ms)])
    assert found(counter.close(later_ms + 2000)) == {}


def test_users_are_remembered_up_to_a_bound() -> None:
    counter = Counter(BEGIN_MS)
    counter.count(TWO_VERSIONS)
    counter.count(seen("web", "ab"[n % 2], f"u{n}") for n in range(members.MEMBERS_LIMIT + 50))
    assert 0.4 * members.MEMBERS_LIMIT < len(counter._members.split["web"]) <= members.MEMBERS_LIMIT


def test_services_with_two_versions_are_followed_up_to_a_bound() -> None:
    counter = Counter(BEGIN_MS)
    names = [f"s{n}" for n in range(members.SERVICES_LIMIT + 5)]
    counter.count(seen(name, slot, "u") for name in names for slot in "ab")
    assert len(counter._members.split) == members.SERVICES_LIMIT


def test_a_second_survives_the_wire() -> None:
    arm = ArmCount(requests=9, failed=3, saved=1, users=8, bad_users=2, latency={4: 6})
    second = Second(
        at=17, arms={("orders", "b"): arm}, elsewhere={("web", "b", "orders"): ArmCount(users=3, bad_users=1)}, lost=2
    )
    assert read_second(write_second(second)) == second
