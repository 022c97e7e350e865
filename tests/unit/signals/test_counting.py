"""What users felt, from records to seconds."""

import random

from hypothesis import given
from hypothesis import strategies as st

from hitless.signals import bad_users as counting_bad
from hitless.signals import counting
from hitless.signals.counting import Counter, Observed
from hitless.signals.ports import ArmCount, Second
from hitless.verdict import EDGES

BEGIN_MS = 1_000_000


def request(
    at_ms: int = 1_000_500, *, user: str = "u", failed: bool = False, slot: str = "a", ms: float = 10.0
) -> Observed:
    return Observed(at_ms, "orders", "b" if slot == "b" else "a", user, failed, ms)


def counted(*records: Observed, until_ms: int | None = None) -> list[Second]:
    counter = Counter(BEGIN_MS)
    by_second = sorted(records, key=lambda record: record.at_ms // 1000)
    closed: list[Second] = []
    for record in by_second:
        closed += counter.close(record.at_ms)
        counter.count([record])
    last_ms = max((record.at_ms for record in records), default=BEGIN_MS)
    return closed + counter.close(until_ms or last_ms + 2000)


def total(seconds: list[Second], slot: str = "a") -> ArmCount:
    arms = [second.arms[arm] for second in seconds for arm in second.arms if arm[1] == slot]
    return ArmCount(
        requests=sum(arm.requests for arm in arms),
        failed=sum(arm.failed for arm in arms),
        users=sum(arm.users for arm in arms),
        bad_users=sum(arm.bad_users for arm in arms),
    )


def test_a_second_is_closed_a_second_after_its_end_and_not_before() -> None:
    counter = Counter(BEGIN_MS)
    counter.count([request(1_000_500)])
    assert counter.close(1_001_999) == []
    assert [second.at for second in counter.close(1_002_000)] == [1000]
    assert counter.close(1_002_000) == []


def test_a_second_is_closed_at_once_on_demand() -> None:
    counter = Counter(BEGIN_MS)
    assert [second.at for second in counter.close(1_001_000, lag_ms=0)] == [1000]


def test_the_first_second_is_no_evidence_and_the_next_is() -> None:
    assert [second.lost > 0 for second in counted(until_ms=1_003_000)] == [True, False]


def test_who_forgets_begins_with_the_next_second_and_takes_nothing_of_what_was_before() -> None:
    counter = Counter(1_000_300, forgets=True)
    counter.count([request(999_100, failed=True), request(1_000_200, failed=True), request(1_000_900, failed=True)])
    counter.count([request(1_001_000)])
    assert counter.close(1_002_900) == []
    first, second = counter.close(1_004_000)
    assert (first.at, first.lost > 0, first.arms["orders", "a"]) == (
        1001,
        True,
        counted(request())[0].arms["orders", "a"],
    )
    assert (second.at, second.lost, second.arms) == (1002, 0, {})


def test_seconds_follow_one_another_also_where_nothing_came() -> None:
    seconds = counted(request(1_000_500), request(1_004_500))
    assert [(second.at, len(second.arms)) for second in seconds] == [
        (1000, 1),
        (1001, 0),
        (1002, 0),
        (1003, 0),
        (1004, 1),
    ]


def test_failures_latencies_and_arms_are_kept_apart() -> None:
    second = counted(request(ms=10.0), request(ms=10.1), request(slot="b", failed=True, ms=5000.0))[0]
    assert (second.arms["orders", "a"].requests, second.arms["orders", "a"].failed) == (2, 0)
    ((bucket, count),) = second.arms["orders", "a"].latency.items()
    assert count == 2
    assert all(EDGES[bucket - 1] < latency_ms <= EDGES[bucket] for latency_ms in (10.0, 10.1))
    assert second.arms["orders", "b"] == ArmCount(requests=1, failed=1, users=1, bad_users=1)


def test_a_request_of_nobody_counts_as_request_and_as_no_user() -> None:
    assert total(counted(request(user="", failed=True))) == ArmCount(requests=1, failed=1)


def test_a_burst_of_one_user_is_one_bad_user() -> None:
    burst = [request(1_000_000 + 10 * number, failed=True) for number in range(50)]
    assert total(counted(*burst)) == ArmCount(requests=50, failed=50, users=1, bad_users=1)


def test_a_user_who_always_fails_alone_counts_once_for_hours() -> None:
    chronic = [request(BEGIN_MS + at_ms, failed=True) for at_ms in range(0, 14_000_000, 10_000)]
    assert total(counted(*chronic)) == ArmCount(requests=1400, failed=1400, users=1, bad_users=1)


def test_a_user_who_always_fails_alone_counts_three_times_in_a_day() -> None:
    """Now and then all the same, so that an arm of a few users does not fall silent for ever."""
    chronic = [request(BEGIN_MS + at_ms, failed=True) for at_ms in range(0, 24 * 3_600_000, 60_000)]
    assert total(counted(*chronic)).bad_users == 3


def test_with_a_new_test_everybody_is_new() -> None:
    counter = Counter(BEGIN_MS)
    for _ in range(2):
        counter.begin("orders")
        counter.count([request(failed=True), request(failed=True), request(user="v", failed=True)])
    assert total(counter.close(1_002_000)).bad_users == 4


def before_a_test(*records: Observed, good: int = 100) -> Counter:
    """A service on its old version, with users who are well beside those of `records`, and then a test of it."""
    counter = Counter(BEGIN_MS)
    counter.count([request(user=f"well{number}") for number in range(good)])
    counter.count(records)
    counter.close(1_010_000)
    counter.begin("orders")
    return counter


def bad_in_test(counter: Counter, *records: Observed) -> int:
    counter.count(records)
    return total(counter.close(records[-1].at_ms + 2000), "b").bad_users


def test_who_failed_on_the_old_version_before_the_test_is_no_evidence_in_it() -> None:
    counter = before_a_test(request(user="chronic", failed=True))
    users = ("chronic", "new", "chronic")
    assert bad_in_test(counter, *(request(1_011_000, user=user, slot="b", failed=True) for user in users)) == 1


def test_who_has_met_the_new_version_a_moment_before_its_test_is_no_evidence_either() -> None:
    """The share is set before the test begins; a user of the old version would have stayed in his pause."""
    counter = before_a_test(request(user="chronic", failed=True), request(1_002_000, user="chronic", slot="b"))
    assert bad_in_test(counter, request(1_011_000, user="chronic", slot="b", failed=True)) == 0


def test_who_was_bad_only_on_the_version_that_is_tested_is_new_in_the_test() -> None:
    """Also of an earlier canary in the same place: else harm to the canary's users would be forgotten."""
    counter = before_a_test(request(user="u", slot="b", failed=True), request(1_003_000, user="u"))
    assert bad_in_test(counter, request(1_011_000, slot="b", failed=True)) == 1


def test_who_was_bad_in_an_earlier_test_is_new_in_the_next() -> None:
    """In it the users of the canary met another version than the rest: more of them, or fewer, were bad."""
    for ended in (True, False):
        counter = before_a_test()
        counter.count([request(1_011_000, failed=True)])
        counter.close(1_013_000)
        if ended:
            counter.end("orders")
        counter.begin("orders")
        assert bad_in_test(counter, request(1_014_000, slot="b", failed=True)) == 1


def test_who_is_well_again_before_the_test_is_new_in_it() -> None:
    good = [request(1_002_000 + number) for number in range(counting_bad.WELL)]
    for enough in (good, good[1:]):
        counter = before_a_test(request(failed=True), *enough)
        assert bad_in_test(counter, request(1_011_000, slot="b", failed=True)) == (enough is good)


def test_where_many_fail_on_the_old_version_everybody_is_new_in_the_test() -> None:
    """A new version that mends it could not be compared with anything if they were all left out."""
    bad = [request(1_000_500 + number, user=f"bad{number % 10}", failed=True) for number in range(30)]
    counter = before_a_test(*bad)
    assert bad_in_test(counter, request(1_011_000, user="bad3", slot="b", failed=True)) == 1


def test_the_pause_of_who_failed_before_begins_anew_with_the_test_in_both_arms() -> None:
    for slot in ("a", "b"):
        others = [request(1_061_000, user=f"u{number}", slot=slot, failed=True) for number in range(64)]
        early, late = (request(at_ms, user="chronic", slot=slot, failed=True) for at_ms in (1_068_000, 1_071_000))
        counter = before_a_test(request(user="chronic", failed=True))
        seconds = []
        for record in (*others, early, late):
            for at_ms in range(1_011_000, record.at_ms, 1000):
                seconds += counter.close(at_ms)
            counter.count([record])
        assert total(seconds + counter.close(1_073_000), slot).bad_users == len([*others, late])


def test_a_user_who_fails_now_and_then_alone_counts_once_in_his_pause() -> None:
    """Good requests in between do not make him new."""
    chronic = [request(BEGIN_MS + 100 * number, failed=number % 25 == 0) for number in range(20_000)]
    assert total(counted(*chronic)).bad_users == 1


def test_among_many_who_fail_one_who_always_fails_is_a_vanishing_part() -> None:
    others = [request(BEGIN_MS + 1000 * n, user=f"u{n}", failed=True) for n in range(4000)]
    chronic = [request(BEGIN_MS + 500 * n, user="chronic", failed=True) for n in range(8000)]
    assert 4001 < total(counted(*others, *chronic)).bad_users < 4000 + 10


def test_the_failures_of_others_in_another_arm_do_not_make_a_bad_user_new() -> None:
    others = [request(BEGIN_MS + 1000 * n, user=f"u{n}", failed=True) for n in range(1000)]
    chronic = [request(BEGIN_MS + 1000 * n, user="chronic", slot="b", failed=True) for n in range(1000)]
    assert total(counted(*others, *chronic), "b").bad_users == 1


def test_an_error_that_everybody_meets_now_and_then_does_not_starve() -> None:
    """Over three hours at 1 %: the users who are bad come back after their pauses, and the rate is kept."""
    dice = random.Random(1)
    records = [
        request(BEGIN_MS + 100 * number, user=f"u{number % 200}", failed=dice.random() < 0.01)
        for number in range(108_000)
    ]
    found = total(counted(*records))
    assert found.users > 0.8 * found.requests
    assert 0.007 < found.bad_users / found.users < 0.013


def test_a_user_in_a_pause_is_no_member_of_an_arm_at_all() -> None:
    """Neither with good requests nor with bad ones: otherwise a bad user would make his version look better."""
    good = [request(1_000_001 + number) for number in range(30)]
    assert total(counted(request(1_000_000, failed=True), *good)) == ArmCount(
        requests=31, failed=1, users=1, bad_users=1
    )


def test_a_user_who_recovered_after_the_pause_is_as_new() -> None:
    others = [request(1_001_000 + number, user=f"u{number}", failed=True) for number in range(8)]
    good = [request(1_070_000 + number) for number in range(counting_bad.RECOVERED)]
    records = [request(1_000_000, failed=True), *others, *good, request(1_071_000, failed=True)]
    assert total(counted(*records)).bad_users == 10


def test_who_was_never_well_in_the_pause_waits_for_eight_times_as_many_others() -> None:
    for well, others, expected in ((4, 63, 1), (4, 64, 2), (5, 7, 1), (5, 8, 2)):
        records = [request(1_000_000, failed=True), *(request(1_000_100 + number) for number in range(well))]
        records += [request(1_001_000, user=f"u{number}", failed=True) for number in range(others)]
        assert total(counted(*records, request(1_061_000, failed=True))).bad_users == others + expected


def test_who_was_bad_at_the_old_version_is_not_new_evidence_against_the_new_one() -> None:
    seconds = counted(request(1_000_100, failed=True), request(1_000_200, slot="b", failed=True))
    assert total(seconds, "b") == ArmCount(requests=1, failed=1)


def test_a_failure_that_a_retry_saved_is_bad_and_known_as_saved() -> None:
    (second,) = counted(request(failed=True)._replace(saved=True))
    assert second.arms["orders", "a"] == ArmCount(requests=1, failed=1, saved=1, users=1, bad_users=1)


def test_a_late_record_counts_in_the_oldest_open_second() -> None:
    counter = Counter(BEGIN_MS)
    counter.close(1_010_000)
    counter.count([request(1_000_500)])
    assert [second.at for second in counter.close(1_020_000) if second.arms] == [1009]


def test_a_record_from_the_future_or_long_ago_is_lost_and_said_to_be() -> None:
    counter = Counter(BEGIN_MS)
    counter.close(1_002_500)
    counter.count([request(1_000_000 + 3_600_000), request(1_000_000 - 3_600_000)])
    assert [second.lost for second in counter.close(1_003_000)] == [2]


def test_who_did_not_look_for_long_has_seen_nothing() -> None:
    counter = Counter(BEGIN_MS)
    counter.close(1_002_000)
    seconds = counter.close(1_032_000)
    assert [second.at for second in seconds] == list(range(1001, 1031))
    assert all(second.lost for second in seconds[1:])


def test_a_clock_that_jumps_by_years_costs_no_memory() -> None:
    assert len(Counter(BEGIN_MS).close(BEGIN_MS + 10**12)) <= counting.LONGEST_STALL_S + 1


def test_a_clock_that_goes_back_closes_nothing_twice() -> None:
    counter = Counter(BEGIN_MS)
    first = counter.close(1_005_000)
    assert counter.close(1_001_000) == []
    assert [second.at for second in first + counter.close(1_006_000)] == list(range(1000, 1005))


def test_users_who_fail_are_remembered_up_to_a_bound() -> None:
    counter = Counter(BEGIN_MS)
    counter.count(request(user=f"u{number}", failed=True) for number in range(counting_bad.LIMIT + 100))
    known = counter._bad["orders", ""].known
    assert len(known) == counting_bad.LIMIT
    assert "u0" not in known


def test_arms_beyond_the_bound_are_lost_and_said_to_be() -> None:
    counter = Counter(BEGIN_MS)
    counter.count(request()._replace(service=f"s{number}") for number in range(counting.ARMS_LIMIT + 3))
    (second,) = counter.close(1_002_000)
    assert (len(second.arms), second.lost) == (counting.ARMS_LIMIT, 1 + 3)


records = st.lists(
    st.builds(
        Observed,
        at_ms=st.integers(BEGIN_MS, BEGIN_MS + 5000),
        service=st.sampled_from(["orders", "web"]),
        slot=st.sampled_from(["a", "b"]),
        user=st.sampled_from(["", "u1", "u2", "u3"]),
        failed=st.booleans(),
        latency_ms=st.floats(0, 1e6),
        bucket=st.sampled_from(["", "0", "9999"]),
        did=st.sampled_from(["", "POST"]),
    ),
    max_size=60,
)


@given(records, st.randoms())
def test_no_record_is_counted_twice_or_forgotten_in_whatever_order_they_come(
    given_records: list[Observed], dice: random.Random
) -> None:
    shuffled = list(given_records)
    dice.shuffle(shuffled)
    counter = Counter(BEGIN_MS)
    counter.count(shuffled)
    seconds = counter.close(BEGIN_MS + 10_000)
    for slot in "ab":
        expected = [record for record in given_records if record.slot == slot]
        found = total(seconds, slot)
        assert (found.requests, found.failed) == (len(expected), sum(record.failed for record in expected))
        assert found.bad_users <= found.users <= sum(bool(record.user) for record in expected)
    for second in seconds:
        for arm in second.arms.values():
            assert sum(arm.latency.values()) == arm.users - arm.bad_users
            assert all(0 <= bucket <= len(EDGES) for bucket in arm.latency)
