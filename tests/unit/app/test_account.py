"""The account of a run is made from plan and journal alone, at any point of a run, and no text breaks out of it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitless.app.account import account_of, counted
from hitless.app.account_text import markdown
from hitless.engine.journal import (
    Approved,
    Ended,
    Entry,
    Fact,
    Finished,
    Held,
    Noted,
    Resumed,
    Started,
    TurnedBack,
    Undoing,
    Undone,
)
from hitless.engine.ports import RunRow

FELT = {
    "since": 100.0,
    "until": 103.0,
    "total": 1200,
    "failed": 2,
    "lost": 0,
    "services": {"orders": {"a": {"requests": 1000, "failed": 0}, "b": {"requests": 200, "failed": 2}}},
}
PLAN: dict[str, Any] = {
    "change": "split-name",
    "why": "invoices need it",
    "hash": "0123456789abcdef" * 4,
    "source": "change: split-name\n",
    "claims": ["orders"],
    "gate": None,
    "on_failure": "take back",
    "refusals": [],
    "remarks": ["orders: canary"],
    "steps": [
        {
            "position": 0,
            "room": "runtime",
            "describe": "start orders 1.1",
            "inverse": "stop orders 1.1",
            "point_of_no_return": False,
            "step": {"kind": "start", "slot": "b", "launch": {"service": "orders", "version": "1.1"}},
        },
        {
            "position": 1,
            "room": "signals",
            "describe": "watch orders",
            "inverse": None,
            "point_of_no_return": False,
            "step": {"kind": "watch"},
        },
        {
            "position": 2,
            "room": "database",
            "describe": "contract main",
            "inverse": None,
            "point_of_no_return": True,
            "step": {"kind": "contract"},
        },
    ],
}
FORWARD: list[Fact] = [
    Noted(0, {"asked": "apply", "who": "ann@desk"}),
    Started(0),
    Finished(0),
    Started(1),
    Noted(1, {"trouble": "TimeoutError()", "attempt": 1}),
    Held("lunch"),
    Resumed(),
    Noted(1, {"verdict": "fine", "service": "orders", "reason": "", "canary": {"users": 40, "bad_users": 1}}),
    Finished(1),
    Approved("ben@desk"),
    Started(2),
    Noted(2, {"table": "people", "rows": 100}),
    Noted(2, {"table": "people", "rows": 200_000}),
    Finished(2),
    Noted(0, {"counted": FELT | {"total": 900}}),
    Ended("completed"),
    Noted(0, {"counted": FELT}),
]
BACK: list[Fact] = [
    Started(0),
    Finished(0),
    Started(1),
    TurnedBack("worse", "users of 1.1 fail"),
    Undoing(1),
    Undone(1),
    Undoing(0),
    Undone(0),
    Ended("rolled-back"),
]


def account(facts: list[Fact], plan: dict[str, Any] = PLAN) -> dict[str, Any]:
    row = RunRow(run="r1", change=plan["change"], state="running", created_at=100.0, plan=plan)
    entries = [Entry(number + 7, 100.0 + number, "r1", fact) for number, fact in enumerate(facts)]
    return account_of(row, entries)


def test_it_tells_what_was_promised_and_what_became_of_each_step() -> None:
    told = account(FORWARD)
    assert [step["inverse"] for step in told["promised"]["steps"]] == ["stop orders 1.1", None, None]
    assert [(step["state"], step["took_s"]) for step in told["steps"]] == [("done", 1), ("done", 5), ("done", 3)]
    assert (told["state"], told["took_s"], told["journal"]) == (
        "completed",
        15.0,
        {"facts": 17, "first": 7, "last": 23},
    )


def test_it_tells_who_asked_held_and_approved() -> None:
    assert [(each["what"], each["who"] or each["text"]) for each in account(FORWARD)["people"]] == [
        ("apply", "ann@desk"),
        ("held", "lunch"),
        ("resumed", ""),
        ("approved", "ben@desk"),
    ]


def test_rows_and_requests_are_the_last_that_were_counted() -> None:
    told = account(FORWARD)
    assert [(row["table"], row["rows"]) for row in told["rows"]] == [("people", 200_000)]
    assert told["requests"] == FELT


def test_a_run_that_nobody_counted_says_so() -> None:
    assert counted([]) is None
    assert "Nobody counted." in markdown(account(BACK))


def test_the_way_back_is_told_with_its_reason_and_its_times() -> None:
    told = account(BACK)
    assert (told["state"], told["end"]) == ("rolled-back", {"state": "rolled-back", "code": "", "text": ""})
    assert [step["taking_back_took_s"] for step in told["steps"]] == [1, 1, None]
    assert "worse: users of 1.1 fail" in markdown(told)


def test_a_run_that_went_on_after_its_end_has_no_end_yet() -> None:
    assert account([*FORWARD, TurnedBack("rolled-back", "by hand"), Undoing(2)])["ended"] is None


def test_every_number_of_a_verdict_is_in_the_page_and_each_version_by_its_name() -> None:
    page = markdown(account(FORWARD))
    for part in ("canary.users 40", "canary.bad_users 1", "2 of 1,200", "| orders | 1.1 | 200 | 2 |", "200,000"):
        assert part in page, part
    assert "**point of no return**" in page


@pytest.mark.parametrize("facts", [FORWARD, BACK])
def test_it_can_be_told_after_every_fact(facts: list[Fact]) -> None:
    for length in range(len(facts) + 1):
        assert markdown(account(facts[:length])).startswith("# Run r1: split-name")


@given(text=st.text(max_size=80))
def test_no_text_leaves_its_cell(text: str) -> None:
    plan = {**PLAN, "why": text, "remarks": [text], "steps": [{**step, "describe": text} for step in PLAN["steps"]]}
    plain = markdown(account(BACK))
    page = markdown(account([*BACK[:3], TurnedBack("worse", text), *BACK[4:]], plan))
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    assert len(rows) == len([line for line in plain.splitlines() if line.startswith("| ")])
    assert {line.replace("\\|", "").count("|") for line in rows} <= {3, 4, 5, 6, 7}
    assert "<script" not in page
