"""Whoever is in a long transaction is waited for without holding others up; space is given back between batches."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from hitless.database.postgres import Target
from hitless.plan.ports import Moment

pytestmark = pytest.mark.live
PARTS = """
CREATE TABLE t (id int, at date, name text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE t_2025 PARTITION OF t FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE t_2026 PARTITION OF t FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO t SELECT g, date '2025-06-01' + g, 'n' || g FROM generate_series(1, 300) g;
"""
INDEXED = """
operations:
  - add_column: {table: t, up: upper(name), column: {name: loud, type: text}}
  - create_index: {name: t_loud, table: t, columns: [{column: loud}]}
"""
WAITS_MS = 3000  # of a writer beside it: a try lasts 75 ms, and what they wait for lasts until all have written


async def note(_: dict[str, object]) -> None:
    """Progress."""


MOMENT = Moment(run="r1", position=0, started_at=0.0, note=note)


@contextmanager
def long_transaction(url: str) -> Iterator[psycopg.Connection]:
    """Somebody who has written into both partitions and thinks about it."""
    with psycopg.connect(url) as holding:
        holding.execute("INSERT INTO t (id, at, name) VALUES (1001, '2025-07-01', 'x'), (1002, '2026-07-01', 'x')")
        yield holding
        holding.rollback()


async def written_beside(url: str, work: asyncio.Future[None], writes: int) -> None:
    """Write again and again while something waits; fails if one write waits for longer than a try lasts."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as writer:
        await writer.execute(f"SET statement_timeout = {WAITS_MS}")
        for number in range(writes):
            assert not work.done(), work.exception() or "it did not wait"
            await writer.execute("UPDATE t SET name = %s WHERE id = 7", (f"w{number}",))
            await asyncio.sleep(0.02)


async def test_an_index_of_a_partitioned_table_is_built_and_dropped_without_holding_writers_up(
    changing: Callable[[str, str], Any],
) -> None:
    change = changing(PARTS, INDEXED)
    await change.begin()
    before = change.catalogue()
    await change.driver.do(change.steps.before[0], MOMENT)
    with long_transaction(change.old_url):
        filling = asyncio.ensure_future(change.driver.do(change.steps.before[1], MOMENT))
        await asyncio.sleep(0.7)  # long enough to be seen in a transaction
        await written_beside(change.old_url, filling, 40)
    await filling
    with long_transaction(change.old_url):
        await asyncio.sleep(0.7)
        back = asyncio.ensure_future(change.back())
        await written_beside(change.old_url, back, 40)
    await back
    assert change.catalogue() == [each for each in before if "_hitless" not in repr(each)]


async def test_a_leaf_that_a_kill_left_without_its_parent_goes_too(changing: Callable[[str, str], Any]) -> None:
    change = changing(PARTS, INDEXED)
    await change.begin()
    before = change.catalogue()
    await change.driver.do(change.steps.before[0], MOMENT)
    change.rows(change.url, "CREATE INDEX t_loud_t_2025 ON t_2025 (loud)")
    await change.back()
    assert change.catalogue() == before


async def test_a_large_table_is_vacuumed_between_batches(
    changing: Callable[[str, str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hitless.database.filling.VACUUM_FROM_BYTES", 1)
    monkeypatch.setattr("hitless.database.filling.BATCH_FIRST", 500)
    monkeypatch.setattr("hitless.database.filling.BATCH_MAX", 500)
    setup = "CREATE TABLE people (id int PRIMARY KEY, name text) WITH (autovacuum_enabled = off);"
    setup += "INSERT INTO people SELECT g, 'n' || g FROM generate_series(1, 10000) g; ANALYZE people;"
    loud = "operations:\n  - add_column: {table: people, up: upper(name), column: {name: loud, type: text}}\n"
    change = changing(setup, loud)
    await change.begin()
    sizes = []
    for _ in range(2):
        await change.up_to_code()
        sizes.append(change.rows(change.url, "SELECT pg_relation_size('people')")[0][0])
        await change.back()
    assert change.rows(change.url, "SELECT vacuum_count > 3 FROM pg_stat_user_tables WHERE relname = 'people'") == [
        (True,)
    ]
    assert sizes[1] < 1.5 * sizes[0]  # the space of replaced rows was used again


async def test_a_comment_behind_a_statement_does_not_take_the_next_one_with_it(
    changing: Callable[[str, str], Any],
) -> None:
    change = changing("CREATE TABLE one (id int PRIMARY KEY)", "operations: [{drop_table: {name: one}}]")
    async with Target.open(change.url) as target:
        await target.run_at_once("CREATE TABLE two (id int) -- undone by hand", "CREATE TABLE three (id int)")
    assert change.rows(change.url, "SELECT to_regclass('three') IS NOT NULL") == [(True,)]
