"""Tables that another tool has made: the imported baseline is their first version, and migrations of ours go on from it."""

from pathlib import Path

import psycopg
import pytest

from hitless.app.databases import Databases
from hitless.cli.main import run
from hitless.database.driver import DatabaseDriver
from hitless.database.migration import Migration
from hitless.database.observation import look
from hitless.database.steps import schema_steps
from hitless.database.urls import version_url
from hitless.kit.clock import SystemClock
from hitless.plan.ports import Moment
from hitless.plan.system import read_system

pytestmark = pytest.mark.live

THEIRS = {
    "V1__people.sql": "CREATE TABLE people (id bigint PRIMARY KEY, name text NOT NULL)",
    "V1.1__rows.sql": "INSERT INTO people SELECT g, 'First' || g || ' Last' || g FROM generate_series(1, 500) g",
}
SPLIT = """
operations:
  - add_column: {table: people, up: "split_part(name, ' ', 1)", column: {name: first, type: text}}
  - add_column: {table: people, up: "substr(name, strpos(name || ' ', ' ') + 1)", column: {name: last, type: text}}
  - drop_column: {table: people, column: name, down: "first || ' ' || last"}
"""
SYSTEM = """
system: shop
databases: {{ main: {{ url: "file:url", migrations: migrations/, version: {version} }} }}
services: {{ web: {{ run: [x], version: "1" }} }}
"""


async def note(remark: dict[str, object]) -> None:
    assert remark


def migrate_as_flyway_does(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(
            "CREATE TABLE flyway_schema_history (installed_rank int PRIMARY KEY, version text, success bool)"
        )
        for rank, (file, text) in enumerate(THEIRS.items()):
            version = file.removeprefix("V").partition("__")[0]
            connection.execute(text.encode())
            connection.execute("INSERT INTO flyway_schema_history VALUES (%s, %s, true)", (rank, version))


async def test_hitless_goes_on_where_flyway_has_stopped(
    database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "migrations"
    theirs.mkdir()
    for file, text in THEIRS.items():
        (theirs / file).write_text(text)
    (tmp_path / "url").write_text(database_url)
    migrate_as_flyway_does(database_url)
    assert run(["import", "flyway", str(theirs), "--migrations", str(ours)], as_json=False) == 0
    told = capsys.readouterr()
    version = told.out.removeprefix("version: ").strip()
    question = next(line for line in told.err.splitlines() if "SELECT" in line).partition(": ")[2]
    with psycopg.connect(database_url) as connection:
        assert connection.execute(question.encode()).fetchone() == ("1.1",)
    (tmp_path / "state" / "run").mkdir(parents=True)
    system = read_system(SYSTEM.format(version=version), file="hitless.yaml")
    databases = Databases(system=system, folder=tmp_path, state=tmp_path / "state")
    await databases.bring_up(SystemClock())
    assert (await look(database_url)).current == version == "0001_flyway_1_1"
    driver = DatabaseDriver(lambda _: database_url)
    for step in schema_steps("main", (Migration(name="0002_split", text=SPLIT),)).before:
        await driver.do(step, Moment(run="r1", position=0, started_at=0.0, note=note))
    with (
        psycopg.connect(version_url(database_url, version), autocommit=True) as old,
        psycopg.connect(version_url(database_url, "0002_split"), autocommit=True) as new,
    ):
        old.execute("INSERT INTO people VALUES (1000, 'Ann Archer')")
        assert new.execute("SELECT first, last FROM people WHERE id = 1000").fetchone() == ("Ann", "Archer")
        new.execute("UPDATE people SET last = 'Baker' WHERE id = 7")
        assert old.execute("SELECT name FROM people WHERE id = 7").fetchone() == ("First7 Baker",)
