"""Tests that the recorder is told of: they end with their run, and those of controllers that were killed as well."""

from hitless.kit.clock import SystemClock
from hitless.signals.recorder import LEASE_S, TESTS_LIMIT, Recorder


class Clock(SystemClock):
    """Stands still until it is set."""

    at = 1_000_000.0

    def now(self) -> float:
        return self.at


def made() -> tuple[Recorder, Clock]:
    clock = Clock()
    return Recorder(lambda _: None, clock), clock


def test_tests_of_controllers_that_were_killed_do_not_pile_up() -> None:
    recorder, _ = made()
    for n in range(TESTS_LIMIT + 20):
        recorder.begin(f"s{n}", "r1")
    assert list(recorder.tests) == [f"s{n}" for n in range(20, TESTS_LIMIT + 20)]


def test_of_too_many_tests_the_one_that_was_not_heard_of_for_longest_is_over() -> None:
    recorder, _ = made()
    for n in range(TESTS_LIMIT):
        recorder.begin(f"s{n}", "r1")
    recorder.begin("s0", "r1")
    recorder.begin("new", "r1")
    assert "s0" in recorder.tests
    assert "s1" not in recorder.tests


def test_only_the_run_that_tests_a_service_ends_its_test() -> None:
    recorder, _ = made()
    recorder.begin("web", "r2")
    recorder.end("web", "r1")
    assert "web" in recorder.tests
    for _ in range(2):
        recorder.end("web", "r2")
        assert "web" not in recorder.tests


def test_a_test_of_which_nothing_is_heard_for_two_hours_is_over_and_one_that_is_said_again_is_not() -> None:
    recorder, clock = made()
    recorder.begin("silent", "r1")
    recorder.begin("watched", "r1")
    clock.at += LEASE_S - 60
    recorder.begin("watched", "r1")
    clock.at += 120
    recorder.end_unheard()
    assert list(recorder.tests) == ["watched"]
