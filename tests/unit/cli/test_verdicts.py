"""A verdict in one line."""

import time

import pytest

from hitless.cli.output import show_text
from hitless.cli.verdicts import verdict_text

NOTED = {
    "verdict": "undecided",
    "service": "orders",
    "guard": "",
    "watches": "errors",
    "canary": {"users": 50, "bad_users": 1},
    "baseline": {"users": 950, "bad_users": 2},
    "compared": {"canary": {"users": 80, "bad_users": 2}, "baseline": {"users": 1500, "bad_users": 4}},
    "seconds": {"seen": 10, "lost": 0},
    "e_value": 3.21,
    "threshold": 100.0,
    "ratio": {"value": 9.375, "low": 0.5, "high": 80.0},
    "users_needed": 120,
    "reason": "",
}


def test_a_verdict_is_told_with_all_its_numbers() -> None:
    assert verdict_text(NOTED) == (
        "orders: undecided; 2 of 80 users' requests bad against 4 of 1500; 9.4 times as often (95%: 0.5 to 80); "
        "evidence against it 3.2 of 100 (errors); about 120 more requests would decide"
    )


def test_where_the_baseline_is_never_bad_there_is_only_a_least() -> None:
    assert "at least 7 times as often (95%)" in verdict_text(
        NOTED | {"ratio": {"value": None, "low": 7.0, "high": None}}
    )


def test_where_nobody_was_bad_yet_the_bounds_are_told_and_what_twice_as_bad_would_need() -> None:
    nobody = {"canary": {"users": 300, "bad_users": 0}, "baseline": {"users": 5700, "bad_users": 0}}
    quiet = NOTED | {"compared": nobody, "ratio": None, "bad_below": 0.00993, "users_needed": 25490, "e_value": 1.0}
    needed = {"requests": 25490, "supposed": 2.0, "at_least": True}
    assert verdict_text(quiet | {"needed": needed}) == (
        "orders: undecided; 0 of 300 users' requests bad against 0 of 5700; at most 0.99 % of its requests bad (95%); "
        "evidence against it 1 of 100 (errors); at least 25490 more requests would show 2 times as bad"
    )
    assert "about 25490 more requests would show 2 times" in verdict_text(
        quiet | {"needed": needed | {"at_least": False}}
    )


def test_slow_requests_are_not_called_bad() -> None:
    said = verdict_text(NOTED | {"watches": "latency"})
    assert "2 of 80 requests slower than the watched quantile of the old version against 4 of 1500" in said
    assert "bad" not in said


def test_no_evidence_says_what_it_needs() -> None:
    held = NOTED | {
        "verdict": "no evidence",
        "ratio": None,
        "users_needed": None,
        "reason": "1 more user in the canary",
    }
    assert verdict_text(held).endswith("needs 1 more user in the canary")


def test_a_watch_without_a_baseline_tells_the_new_version_alone() -> None:
    alone = {name: NOTED[name] for name in ("service", "canary", "reason")}
    alone |= {"verdict": "no baseline", "baseline": None, "seconds": {"seen": 9, "lost": 1}}
    assert verdict_text(alone) == "orders: no baseline; 1 of 50 users' requests bad; 1 s with lost records left out"


def test_every_guard_that_has_found_something_is_named_with_its_part_and_every_doubt_is_told() -> None:
    found = NOTED | {
        "e_value": 120.4,
        "threshold": 1 / 0.0095,
        "watches": "business",
        "evidence": {"errors": 0.9, "business": 119.3, "latency": 0.2},
        "doubts": ["the canary got 5 of 10 users, but its share is 0.1"],
        "compared": {"canary": {"users": 24, "bad_users": 24}, "baseline": {"users": 60, "bad_users": 31}},
    }
    said = verdict_text(found)
    assert "24 of 24 users did not convert against 31 of 60" in said
    assert "evidence against it 120 of 105 (business 119, errors 0.9)" in said
    assert "its share is 0.1" in said


def test_a_guard_that_has_counted_nothing_yet_leaves_the_word_to_what_users_felt() -> None:
    nothing = {"canary": {"users": 0, "bad_users": 0}, "baseline": {"users": 0, "bad_users": 0}}
    felt = {"canary": {"users": 9, "bad_users": 1}, "baseline": {"users": 80, "bad_users": 2}}
    said = verdict_text(NOTED | felt | {"watches": "business", "compared": nothing})
    assert "1 of 9 users' requests bad against 2 of 80" in said


def test_a_source_that_does_not_answer_is_told_with_every_verdict() -> None:
    assert verdict_text(NOTED | {"source": "pay: Connection refused"}).endswith("trouble: pay: Connection refused")


@pytest.mark.parametrize(("age_s", "ends"), [(3, "would decide"), (125, "nothing was counted in the last 2m5s")])
def test_what_a_watch_under_way_knows_by_now_is_shown_and_how_old_it_is_where_nobody_counts(
    age_s: int, ends: str
) -> None:
    now = {"position": 3, "until": time.time() - age_s, **NOTED}
    shown = {
        "run": "r1",
        "change": "c",
        "state": "running",
        "requests": {"total": 1, "failed": 0, "counted_s": 9.0},
        "steps": [],
    }
    shown |= {"progress": None, "open": None, "differing": [], "verdicts": [], "now": now}
    last = show_text(shown).splitlines()[-1]
    assert last.startswith("now        3  orders: undecided; 2 of 80 users' requests bad")
    assert last.endswith(ends)
    assert "now" not in show_text(shown | {"now": None})


def test_a_step_that_goes_back_for_want_of_evidence_says_why_and_no_longer_what_it_needs() -> None:
    said = "the new version of orders: no evidence in 30s; it still needs a window of checkout that counts"
    back = NOTED | {"verdict": "no evidence", "reason": said, "goes_back": True}
    assert verdict_text(back).endswith(f"; {said}")


def test_a_run_whose_users_nobody_counted_does_not_say_that_none_of_them_failed() -> None:
    requests = {"total": 0, "failed": 0, "counted_s": 0.0}
    shown = {"run": "r1", "change": "c", "state": "completed", "requests": requests, "steps": [], "progress": None}
    shown |= {"open": None, "differing": [], "verdicts": [], "now": None}
    assert "failed" not in show_text(shown)
    assert "nobody can say what users felt" in show_text(shown)
