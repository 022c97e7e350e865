"""What the first `up` finds in a database, and what it brings into it."""

from pathlib import Path

import psycopg
import pytest

from hitless.app.databases import BASELINE, Databases
from hitless.app.logins import WithLogins
from hitless.database.driver import DatabaseDriver, baseline, current_version, drift
from hitless.database.observation import look
from hitless.database.pooler import make_role
from hitless.database.steps import schema_steps
from hitless.kit.clock import SystemClock
from hitless.kit.errors import Exit, HitlessError, InvalidInput, Refused
from hitless.plan.ports import Moment
from hitless.plan.system import read_system
from hitless.runtime.shim.references import resolve

pytestmark = pytest.mark.live

PEOPLE = "operations:\n  - create_table: {name: people, columns: [{name: id, type: int, pk: true}]}\n"
NAME = "operations:\n  - add_column: {table: people, column: {name: name, type: text, nullable: true}}\n"


async def note(remark: dict[str, object]) -> None:
    assert remark


MOMENT = Moment(run="r1", position=0, started_at=0.0, note=note)


def databases(folder: Path, url: str, *, version: str | None = "0002_name", pooler: bool = False) -> Databases:
    for name, text in (("0001_people", PEOPLE), ("0002_name", NAME)):
        (folder / "migrations").mkdir(exist_ok=True)
        (folder / "migrations" / f"{name}.yaml").write_text(text)
    (folder / "state" / "run").mkdir(parents=True, exist_ok=True)
    (folder / "url").write_text(url)
    which = f", version: {version}" if version else ""
    pooled = ", pooler: true" if pooler else ""
    system = read_system(
        f"system: s\ndatabases: {{ main: {{ url: 'file:url', migrations: migrations/{which}{pooled} }} }}\n"
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


async def test_a_session_that_is_merely_open_does_not_stand_in_the_way_of_the_first_up(
    database_url: str, tmp_path: Path
) -> None:
    with psycopg.connect(database_url) as somebody:
        somebody.execute("SELECT 1")  # and is in a transaction
        await databases(tmp_path, database_url).bring_up(SystemClock())
    assert await current_version(database_url) == "0002_name"


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


async def test_behind_a_pooler_a_role_that_may_not_make_roles_is_refused(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS nobody_special")
        connection.execute("CREATE ROLE nobody_special LOGIN")
    with pytest.raises(Refused) as refusal:
        await make_role(database_url.replace("//hitless@", "//nobody_special@"), "0001_people", "secret")
    assert (refusal.value.code, refusal.value.exit) == ("no-createrole", Exit.REFUSED)


async def test_tables_are_taken_as_they_are_only_where_no_schema_version_is_in_force(database_url: str) -> None:
    await baseline(database_url, "0001_first")
    await baseline(database_url, "0001_first")  # once more, as after a kill
    with pytest.raises(Refused) as refusal:
        await baseline(database_url, "0001_other")
    assert refusal.value.code == "baseline-there"


async def test_behind_a_pooler_each_schema_version_has_a_login_role_of_its_own(
    database_url: str, tmp_path: Path
) -> None:
    here = databases(tmp_path, database_url, version="0001_people", pooler=True)
    await here.bring_up(SystemClock())
    driver = WithLogins(DatabaseDriver(here.url), here)
    expand = schema_steps("main", (here.migrations("main")[1],)).before[0]
    await driver.do(expand, MOMENT)
    assert await driver.done(expand, MOMENT)
    urls = {name: here.url_for_services("main", name) for name in ("0001_people", "0002_name")}
    assert all(each.startswith("file:") for each in urls.values())
    files = [Path(each.removeprefix("file:")) for each in urls.values()]
    assert [file.stat().st_mode & 0o777 for file in files] == [0o600, 0o600]
    assert "options" not in "".join(file.read_text() for file in files)
    with psycopg.connect(resolve(urls["0002_name"], {}), autocommit=True) as new:
        new.execute("INSERT INTO people (id, name) VALUES (1, 'Ada')")
        assert new.execute("SELECT current_user").fetchone()[0].endswith("0002_name")
    with psycopg.connect(resolve(urls["0001_people"], {}), autocommit=True) as old:
        assert old.execute("SELECT * FROM people").fetchall() == [(1,)]
    await driver.do(expand.inverse(), MOMENT)
    assert not files[1].exists()
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE '%0002_name'").fetchall()
        assert [each for each in rows if database_url.split("/")[3].split("?", maxsplit=1)[0] in each[0]] == []
