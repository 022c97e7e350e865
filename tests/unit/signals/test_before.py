"""What a service was like before a test."""

from hitless.signals.before import LIMIT, Before


def test_the_version_that_most_users_met_of_late_is_the_old_one() -> None:
    before = Before()
    assert before.old_version("orders", 0) is None
    before.add("orders", "a", 0, 1000, 0)
    before.add("orders", "b", 1, 50, 0)
    assert before.old_version("orders", 1) == "a"
    before.add("orders", "b", 1000, 50, 0)
    assert before.old_version("orders", 1000) == "b"


def test_where_one_request_in_twenty_is_of_a_bad_user_there_are_not_few_any_more() -> None:
    before = Before()
    before.add("orders", "a", 0, 95, 5)
    assert before.old_version("orders", 0) == "a"
    before.add("orders", "a", 1, 94, 6)
    assert before.old_version("orders", 1) is None


def test_after_a_test_nothing_of_before_is_known_and_of_other_services_all() -> None:
    before = Before()
    before.add("orders", "a", 0, 10, 0)
    before.add("web", "a", 0, 10, 0)
    before.forget("orders")
    assert (before.old_version("orders", 0), before.old_version("web", 0)) == (None, "a")


def test_what_was_met_longest_ago_is_forgotten_beyond_the_bound() -> None:
    before = Before()
    for number in range(LIMIT + 1):
        before.add(f"s{number}", "a", 0, 1, 0)
    assert (before.old_version("s0", 0), before.old_version("s1", 0)) == (None, "a")
