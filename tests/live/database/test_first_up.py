"""What the first `up` finds in a database, and what it brings into it."""

from pathlib import Path

import psycopg
import pytest

from hitless.app.databases import BASELINE, Databases
from hitless.database.driver import current_version, drift
from hitless.database.observation import look
from hitless.kit.clock import SystemClock
from hitless.kit.errors import Exit, HitlessError, InvalidInput
from hitless.plan.system import read_system

pytestmark = pytest.mark.live

PEOPLE = "operations:\n  - create_table: {name: people, columns: [{name: id, type: int, pk: true}]}\n"
NAME = "operations:\n  - add_column: {table: people, column: {name: name, type: text, nullable: true}}\n"


def databases(folder: Path, url: str, *, version: str | None = "0002_name") -> Databases:
    for name, text in (("0001_people", PEOPLE), ("0002_name", NAME)):
        (folder / "migrations").mkdir(exist_ok=True)
        (folder / "migrations" / f"{name}.yaml").write_text(text)
    (folder / "state" / "run").mkdir(parents=True, exist_ok=True)
    (folder / "url").write_text(url)
    which = f", version: {version}" if version else ""
    system = read_system(
        f"system: s\ndatabases: {{ main: {{ url: 'file:url', migrations: migrations/{which} }} }}\n"
        "services: { a: { run: [a], version: '1', database: main } }",
        file="hitless.yaml",
    )
    return Databases(system=system, folder=folder, state=folder / "state")


async def test_an_empty_database_gets_the_migrations_up_to_its_version(database_url: str, tmp_path: Path) -> None:
    here = databases(tmp_path, database_url)
    await here.bring_up(SystemClock())
    await here.bring_up(SystemClock())  # what is there stays
    now = (await here.look(["main"]))["main"]
    assert (now.current, now.open, list(now.ran), now.drift) == ("0002_name", None, ["0001_people", "0002_name"], ())
    with psycopg.connect(
        here.url_for_services("main", "0002_name").replace(f"file:{tmp_path}/url&", f"{database_url}&")
    ) as service:
        service.execute("INSERT INTO people (id, name) VALUES (1, 'Ada')")


async def test_a_first_up_that_was_killed_half_way_is_finished_by_the_next(database_url: str, tmp_path: Path) -> None:
    here = databases(tmp_path, database_url, version="0001_people")
    await here.bring_up(SystemClock())
    (here.state / "run" / "first-up-main").touch()  # as a kill behind the first file leaves it
    here = databases(tmp_path, database_url)
    await here.bring_up(SystemClock())
    assert await current_version(database_url) == "0002_name"
    assert not (here.state / "run" / "first-up-main").exists()


@pytest.mark.parametrize(("version", "named"), [(None, BASELINE), ("0002_name", "0002_name")])
async def test_tables_that_are_there_are_the_baseline_and_keep_their_rows(
    database_url: str, tmp_path: Path, version: str | None, named: str
) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE old (id int PRIMARY KEY, what text); INSERT INTO old VALUES (1, 'mine')")
    here = databases(tmp_path, database_url, version=version)
    await here.bring_up(SystemClock())
    assert (await here.in_force())["main"] == named
    assert await drift(database_url) == []
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT * FROM old").fetchall() == [(1, "mine")]
        assert connection.execute("SELECT to_regclass('public.people')").fetchone() == (None,)


async def test_a_version_that_no_file_has_is_refused_with_the_near_one(database_url: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        await databases(tmp_path, database_url, version="0002_nmae").bring_up(SystemClock())
    assert (caught.value.code, caught.value.hint) == ("unknown-migration", "did you mean 0002_name?")
    assert (await look(database_url)).sizes == {}


async def test_a_database_that_is_down_is_said_to_be_down(tmp_path: Path) -> None:
    with pytest.raises(HitlessError) as caught:
        await databases(tmp_path, f"postgresql://nobody@/nothing?host={tmp_path}").bring_up(SystemClock())
    assert (caught.value.code, caught.value.exit, bool(caught.value.hint)) == ("database-down", Exit.FAILED, True)


async def test_a_database_that_takes_no_writes_is_seen_before_anything_is_planned(database_url: str) -> None:
    assert not (await look(database_url)).read_only
    assert (await look(f"{database_url}&options=-cdefault_transaction_read_only%3Don")).read_only
