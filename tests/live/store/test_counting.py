"""What users felt stands in the journal when a run comes to rest: at once, and exactly a little later."""

import asyncio

import pytest

from hitless.app import counting
from hitless.app.account import account_of, counted
from hitless.app.counting import CountingJournal
from hitless.app.journal import StoredJournal
from hitless.engine.journal import Ended, Noted, Started
from hitless.signals.ports import ArmCount, Second
from hitless.store.postgres import Store

pytestmark = pytest.mark.live


async def test_a_run_is_counted_before_it_ends_and_again_when_its_last_seconds_are_closed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "SETTLED_S", 0.0)
    closed = [
        Second(at=100, arms={("orders", "a"): ArmCount(requests=40), ("web", "b"): ArmCount(requests=2, failed=1)})
    ]
    late = Second(at=101, arms={("orders", "a"): ArmCount(requests=10, failed=5, saved=2)}, lost=1)

    async def felt(since: float, until: float) -> list[Second]:
        return closed if until == float("inf") else [*closed, late]

    journal = CountingJournal(StoredJournal(store), felt)
    plan = {"change": "c", "claims": ["orders"], "why": "", "hash": "", "source": "", "remarks": [], "steps": []}
    run = await journal.create(plan)
    await journal.append(run, Ended("completed"), "completed")
    entries = await journal.entries(run)
    assert [type(entry.fact) for entry in entries[:2]] == [Noted, Ended]
    while len(entries) < 3:
        await asyncio.sleep(0.01)
        entries = await journal.entries(run)
    row = await journal.find(run)
    assert row is not None
    told = account_of(row, entries)
    assert (told["requests"]["total"], told["requests"]["failed"], told["requests"]["lost"]) == (52, 4, 1)
    assert told["requests"]["services"]["orders"] == {"a": {"requests": 50, "failed": 3}}
    assert told["state"] == "completed"
    assert told["ended"] is not None


async def test_a_run_that_went_on_meanwhile_is_not_counted_by_the_late_one(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "SETTLED_S", 0.05)
    asked: list[float] = []

    async def felt(since: float, until: float) -> list[Second]:
        asked.append(until)
        return []

    journal = CountingJournal(StoredJournal(store), felt)
    run = await journal.create({"change": "c", "claims": ["orders"], "steps": []})
    await journal.append(run, Ended("completed"), "completed")
    await journal.append(run, Started(0), "running")
    await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name() == f"counts of {run}"))
    assert asked == [float("inf")]


async def test_a_recorder_that_does_not_answer_leaves_no_count_of_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said was: 0 of 0 requests failed."""
    monkeypatch.setattr(counting, "SETTLED_S", 0.0)
    answers = [[Second(at=100, arms={("orders", "a"): ArmCount(requests=40)})], []]

    async def felt(since: float, until: float) -> list[Second]:
        return answers.pop(0)

    journal = CountingJournal(StoredJournal(store), felt)
    plan = {"change": "c", "claims": ["orders"], "why": "", "hash": "", "source": "", "remarks": [], "steps": []}
    run = await journal.create(plan)
    await journal.append(run, Ended("completed"), "completed")
    while len(entries := await journal.entries(run)) < 3:
        await asyncio.sleep(0.01)
    assert counted(entries[1:]) is None  # the second count alone
    told = counted(entries)
    assert told is not None
    assert (told["total"], told["until"]) == (40, 101.0)
