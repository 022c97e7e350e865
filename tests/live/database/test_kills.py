"""kill -9 in the middle: of the connection, of PostgreSQL, of the one who fills; it goes on, and no row differs."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from hitless.database.driver import DatabaseDriver
from hitless.kit.errors import HitlessError
from hitless.plan.ports import Moment, StepFailed

pytestmark = pytest.mark.live
ROWS = 6000
SETUP = f"""
CREATE TABLE people (id int PRIMARY KEY, name text NOT NULL, age int);
INSERT INTO people SELECT g, 'First' || g || ' Last' || g, g FROM generate_series(1, {ROWS}) g;
"""
SPLIT = """
operations:
  - add_column: {table: people, up: "split_part(name, ' ', 1)", column: {name: first, type: text}}
  - add_column: {table: people, up: "split_part(name, ' ', 2)", column: {name: last, type: text, unique: true}}
  - drop_column: {table: people, column: name, down: "first || ' ' || last"}
"""
SHADOW = """
operations:
  - shadow_table:
      table: people
      columns: [{name: id, type: bigint, pk: true}, {name: first, type: text}, {name: last, type: text}]
      up: {first: "split_part(name, ' ', 1)", last: "split_part(name, ' ', 2)"}
      down: {name: "first || ' ' || last"}
"""
RUNNER = """
import asyncio, sys
from hitless.database import filling
from hitless.database.driver import DatabaseDriver
from hitless.database.migration import Migration
from hitless.database.steps import schema_steps
from hitless.plan.ports import Moment
filling.BATCH_MAX = filling.BATCH_FIRST = 150
async def note(_): pass
async def slowly(): await asyncio.sleep(0.01)
async def main():
    driver = DatabaseDriver(lambda _: sys.argv[1], slowly)
    steps = schema_steps("main", (Migration(name="0002_change", text=sys.stdin.read()),))
    moment = Moment(run="r1", position=0, started_at=0.0, note=note)
    for step in (*steps.before, *steps.after):
        if not await driver.done(step, moment):
            await driver.do(step, moment)
asyncio.run(main())
"""


@pytest.fixture
def server(postgres: Any) -> Any:
    """One server is enough: what is killed here is ours."""
    return postgres


async def note(_: dict[str, object]) -> None:
    """Progress."""


MOMENT = Moment(run="r1", position=0, started_at=0.0, note=note)


def truth(url: str) -> int:
    """Rows whose first and last name are not those of the number they were made from."""
    with psycopg.connect(url) as connection:
        wrong = "first IS DISTINCT FROM 'First' || id OR last IS DISTINCT FROM 'Last' || id"
        found = connection.execute(f"SELECT count(*) FILTER (WHERE {wrong}), count(*) FROM people".encode()).fetchone()
    assert found is not None
    assert found[1] == ROWS
    return int(found[0])


def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hitless.database.filling.BATCH_MAX", 200)
    monkeypatch.setattr("hitless.database.filling.BATCH_FIRST", 200)


@pytest.mark.parametrize("text", [SPLIT, SHADOW], ids=["in place", "shadow"])
async def test_connections_cut_at_random_batches_repeat_at_most_one_each(
    changing: Callable[[str, str], Any], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_batches(monkeypatch)
    change = changing(SETUP, text)
    await change.begin()
    await change.driver.do(change.steps.before[0], MOMENT)
    dice = random.Random(7)
    cuts = 0

    async def saboteur() -> None:
        nonlocal cuts
        if dice.random() < 0.3:
            cuts += 1
            with psycopg.connect(change.url, autocommit=True) as other:
                other.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE application_name = 'hitless' AND datname = current_database()"
                )

    while True:
        before = change.rows(change.url, "SELECT coalesce(sum(rows), 0) FROM hitless.checkpoint")[0][0]
        try:
            await DatabaseDriver(lambda _: change.url, saboteur).do(change.steps.before[1], MOMENT)
            break
        except HitlessError as error:
            assert error.code == "database-down"  # noqa: PT017
            assert not isinstance(error, StepFailed)  # noqa: PT017  a lost connection takes nothing back
        assert change.rows(change.url, "SELECT sum(rows) FROM hitless.checkpoint")[0][0] >= before
    assert cuts >= 5
    assert change.rows(change.url, "SELECT rows FROM hitless.checkpoint") == [(ROWS,)]  # no row was counted twice
    await change.verify()
    await change.contract()
    assert truth(change.new_url) == 0


@pytest.mark.parametrize("text", [SPLIT, SHADOW], ids=["in place", "shadow"])
def test_the_one_who_fills_is_killed_at_random_moments(changing: Callable[[str, str], Any], text: str) -> None:
    change = changing(SETUP, text)
    dice = random.Random(11)
    for kill in range(12):
        runner = subprocess.Popen(
            [sys.executable, "-c", RUNNER, change.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ},
        )
        assert runner.stdin is not None
        runner.stdin.write(text)
        runner.stdin.close()
        if kill < 11:
            time.sleep(0.4 + dice.random() * 0.8)
            runner.send_signal(signal.SIGKILL)
            runner.wait(60)
        else:
            assert runner.wait(400) == 0, runner.stderr.read() if runner.stderr else ""
        if runner.stderr:
            runner.stderr.close()
    assert truth(change.new_url) == 0
    assert "_hitless" not in repr(change.catalogue())


async def test_the_server_is_killed_while_it_is_filled_and_both_versions_write(
    postgres: Any, changing: Callable[[str, str], Any], monkeypatch: pytest.MonkeyPatch, server: Any
) -> None:
    small_batches(monkeypatch)
    change = changing(SETUP, SPLIT)
    await change.begin()
    await change.driver.do(change.steps.before[0], MOMENT)
    dice = random.Random(3)
    kills = 0

    async def saboteur() -> None:
        nonlocal kills
        if kills < 3 and dice.random() < 0.15:
            kills += 1
            change.rows(change.old_url, f"UPDATE people SET age = age + 1 WHERE id = {dice.randint(1, ROWS)}")
            server.kill()

    while True:
        try:
            await DatabaseDriver(lambda _: change.url, saboteur).do(change.steps.before[1], MOMENT)
            break
        except HitlessError as error:
            assert error.code == "database-down"  # noqa: PT017
            server.start()
    assert kills == 3
    await change.verify()
    await change.contract()
    assert truth(change.new_url) == 0
