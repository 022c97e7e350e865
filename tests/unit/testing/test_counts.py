"""Counting, and which request is due when."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitless.testing.load.profile import NAMED_SHARE, Profile, request
from hitless.testing.load.report import SLICES_LIMIT, Latencies, Tally


@given(st.lists(st.floats(min_value=0.01, max_value=60_000), min_size=1, max_size=300), st.floats(0.001, 1))
def test_a_percentile_is_exact_to_one_percent(values, fraction):
    latencies = Latencies()
    for value in values:
        latencies.add(value)
    exact = sorted(values)[math.ceil(fraction * len(values)) - 1]
    assert latencies.at(fraction) == pytest.approx(exact, rel=0.0101)
    assert latencies.at(1) <= latencies.max_ms == max(values)


def test_no_latency_is_zero():
    assert Latencies().at(0.5) == 0


def test_slices_are_bounded_and_nothing_is_lost():
    tally = Tally(started_at=0, clock=lambda: 1.5)
    for number in range(SLICES_LIMIT + 50):
        tally.ended("/", f"1.{number}", 5.0, failed=number % 2 == 0)
    report = tally.report()
    assert len(report.slices) == SLICES_LIMIT + 1
    assert sum(part.total for part in report.slices) == report.total == SLICES_LIMIT + 50
    assert sum(part.failed for part in report.slices) == (SLICES_LIMIT + 50) // 2


def test_a_failure_says_when_it_was():
    tally = Tally(started_at=1_800_000_000, clock=lambda: 1.5)
    tally.fail("GET", "/", "reset")
    assert tally.report().examples[0].at == 1_800_000_001.5
    assert "08:00:01.500Z GET / reset" in tally.report().to_text()


def test_a_report_does_not_change_when_counting_goes_on():
    tally = Tally(started_at=0, clock=lambda: 1.0)
    before = tally.report()
    tally.ended("/", "1.0", 5.0, failed=False)
    tally.fail("GET", "/", "reset")
    assert (before.total, before.failed, before.reasons, before.slices) == (0, 0, {}, ())


def test_requests_are_due_at_fixed_moments_in_equal_shares():
    profile = Profile(url="http://h", rate=50, get=("/a", "/b"), post=("/c",), users=100, named_users=("ann",))
    requests = [request(profile, index, "run") for index in range(30_000)]
    assert [r.due_s for r in requests[:4]] == [0, 0.02, 0.04, 0.06]
    assert Counter(r.route for r in requests) == {"/a": 10_000, "/b": 10_000, "/c": 10_000}
    assert len({r.id for r in requests}) == 10_001  # one for each POST, and None
    assert sum(r.fresh for r in requests) / 30_000 == pytest.approx(profile.new_connections, abs=0.01)
    users = Counter(r.user for r in requests)
    assert users.pop("ann") / 30_000 == pytest.approx(NAMED_SHARE, abs=0.005)
    assert len(users) == 100
    assert max(users.values()) < 2 * min(users.values())
    assert requests == [request(profile, index, "run") for index in range(30_000)]
