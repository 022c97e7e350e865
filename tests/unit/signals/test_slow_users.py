"""One user who is always slow does not make a version slow; a version that is slow is seen all the same."""

import math
import random
from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitless.signals.counting import Counter, Observed
from hitless.signals.slow_users import LIMIT, WELL, SlowUsers
from hitless.signals.tally import Tally
from hitless.verdict import EDGES, Arm, Latency, Tick, Verdict

FAST, SLOW = bisect_left(EDGES, 100.0), bisect_left(EDGES, 1000.0)
BEGIN_S = 1_000_000


def learnt():
    """Return users of a service whose requests took about 100 ms so far."""
    users, past = SlowUsers(), Tally()
    past.latency = {FAST: 1000}
    users.learn("a", past, 0)
    return users


def takes(users, user, bucket, at_ms=0, slot="b"):
    return users.takes(Tally(), user, slot, at_ms, bucket)


def second_of(users, slot, at, fast=0, slow=0):
    """Let others meet requests in a second."""
    tally = Tally()
    for number in range(fast + slow):
        bucket = FAST if number < fast else SLOW
        if users.takes(tally, f"{at} {number}", slot, at * 1000, bucket):
            tally.latency[bucket] = tally.latency.get(bucket, 0) + 1
    users.learn(slot, tally, at)


def test_nobody_is_slow_before_it_is_known_what_is_slow():
    users = SlowUsers()
    assert all(takes(users, "anna", SLOW) for _ in range(10))


def test_the_first_slow_request_of_a_user_counts_and_those_that_follow_do_not_nor_the_fast_ones():
    users = learnt()
    assert takes(users, "anna", SLOW)
    assert not any(takes(users, "anna", bucket) for bucket in (SLOW, SLOW, FAST, SLOW))


def test_after_some_fast_requests_in_a_row_a_user_counts_as_before():
    users = learnt()
    assert takes(users, "anna", SLOW)
    assert not any(takes(users, "anna", FAST) for _ in range(WELL))
    assert takes(users, "anna", FAST)
    assert takes(users, "anna", SLOW)


def test_who_stays_slow_counts_again_after_pauses_that_double():
    users = learnt()
    counted = [at for at in range(2000) if takes(users, "anna", SLOW, at * 1000)]
    assert counted == [0, 60, 180, 420, 900, 1860]


def test_or_while_much_of_what_others_meet_there_is_slow_too():
    users = learnt()
    assert takes(users, "anna", SLOW)
    second_of(users, "b", 1, slow=30)
    assert all(takes(users, "anna", SLOW, 2000) for _ in range(5))
    second_of(users, "b", 2, fast=500)
    assert not takes(users, "anna", SLOW, 3000)


def test_who_changes_to_the_other_version_stays_in_the_pause():
    users = learnt()
    assert takes(users, "anna", SLOW, slot="a")
    assert not takes(users, "anna", SLOW, slot="b")


def test_so_many_users_are_remembered_and_not_more():
    users = learnt()
    for number in range(LIMIT + 100):
        assert takes(users, f"u{number}", SLOW)
    assert len(users.known) == LIMIT
    assert takes(users, "u0", SLOW)
    assert not takes(users, f"u{LIMIT + 99}", SLOW)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.integers(0, 90)), max_size=60), st.booleans())
def test_whether_a_request_counts_is_decided_before_it_is_known_how_long_it_took(requests, last_is_slow):
    one, other, at_s = learnt(), learnt(), 0
    for user, slow, later_s in requests:
        at_s += later_s
        for users in (one, other):
            takes(users, user, SLOW if slow else FAST, at_s * 1000)
    assert takes(one, "a", SLOW, at_s * 1000) == takes(other, "a", SLOW if last_is_slow else FAST, at_s * 1000)


def run(seed, seconds, who_is_slow, factor, users=400, rate=100):
    """Return the second in which the new version, at 5 % of the users, is found slow."""
    dice, counter = random.Random(seed), Counter(BEGIN_S * 1000)
    verdict = Verdict([Latency(worse=1.25)], alpha=0.01)
    for second in range(seconds):
        rows = []
        for number in range(rate):
            user = dice.randrange(users)
            slot = "b" if user < users // 20 and second >= 20 else "a"
            took_ms = dice.lognormvariate(math.log(100), 0.6) * (factor if who_is_slow(user, slot) else 1)
            rows.append(Observed((BEGIN_S + second) * 1000 + number, "orders", slot, f"u{user}", False, took_ms))
        counter.count(rows)
        for closed in counter.close((BEGIN_S + second + 2) * 1000):
            if len(closed.arms) < 2:
                continue
            canary, baseline = (closed.arms["orders", slot] for slot in "ba")
            tick = Tick(closed.at, Arm(canary.users, 0, canary.latency), Arm(baseline.users, 0, baseline.latency))
            if verdict.feed(tick).kind == "roll back":
                return second
    return None


@pytest.mark.parametrize("seed", range(3))
def test_a_healthy_version_stays_though_one_of_its_twenty_users_always_waits_ten_times_as_long(seed):
    assert run(seed, 400, lambda user, _: user == 0, 10) is None


@pytest.mark.parametrize("seed", range(3))
def test_a_version_that_is_slow_for_all_of_its_twenty_users_goes(seed):
    assert run(seed, 400, lambda _, slot: slot == "b", 3) is not None


@pytest.mark.parametrize("seed", range(3))
def test_and_also_where_it_has_four_users(seed):
    assert run(seed, 400, lambda _, slot: slot == "b", 10, users=80, rate=40) is not None
