"""A controller that was replaced, or gave its step up, changes no database behind anybody's back."""

import asyncio
from pathlib import Path

import psycopg
import pytest

from hitless.database.driver import DatabaseDriver, baseline
from hitless.database.migration import Migration
from hitless.database.steps import schema_steps
from hitless.kit.fence import Fence, Fenced
from hitless.plan.ports import Moment

SPLIT = "operations: [{ add_column: { table: people, up: name, column: { name: label, type: text } } }]"
STEPS = schema_steps("main", (Migration(name="0002_change", text=SPLIT),))
EXPAND, BACKFILL, VERIFY = STEPS.before
WITHDRAW = EXPAND.inverse()
assert WITHDRAW is not None


async def note(_: dict[str, object]) -> None:
    pass


MOMENT = Moment(run="r1", position=0, started_at=0.0, note=note)


@pytest.fixture
async def people(database_url: str) -> str:
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE people (id bigint PRIMARY KEY, name text)")
        connection.execute("INSERT INTO people SELECT g, 'p' || g FROM generate_series(1, 3000) g")
    await baseline(database_url, "0001_people")
    return database_url


async def test_a_controller_that_was_replaced_changes_no_schema(people: str, tmp_path: Path) -> None:
    late = DatabaseDriver(lambda _: people, guard=Fence(tmp_path, 1).check)
    newer = DatabaseDriver(lambda _: people, guard=Fence(tmp_path, 2).check)
    Fence(tmp_path, 2).raise_epoch()
    with pytest.raises(Fenced):
        await late.do(EXPAND, MOMENT)
    assert not await newer.done(EXPAND, MOMENT)
    await newer.do(EXPAND, MOMENT)
    for step in (WITHDRAW, BACKFILL):
        with pytest.raises(Fenced):
            await late.do(step, MOMENT)
    assert await newer.done(EXPAND, MOMENT)
    assert not await newer.done(BACKFILL, MOMENT)


async def test_a_change_that_was_given_up_half_way_is_there_at_once_or_never(people: str) -> None:
    driver = DatabaseDriver(lambda _: people)
    for number in range(12):
        work = asyncio.ensure_future(driver.do(EXPAND, MOMENT))
        await asyncio.sleep(0.004 * number)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        there = await driver.done(EXPAND, MOMENT)
        await asyncio.sleep(0.05)
        assert await driver.done(EXPAND, MOMENT) == there
        await driver.do(WITHDRAW, MOMENT)
