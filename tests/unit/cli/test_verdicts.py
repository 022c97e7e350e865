"""A verdict in one line."""

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
