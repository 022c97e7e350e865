"""What applications do with rows while a column gets a stand-in: COPY, TRUNCATE, cascades, NULLs, long texts, keys."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from hitless.plan.ports import Moment

pytestmark = pytest.mark.live
Make = Callable[[str, str], Any]


async def note(_: dict[str, object]) -> None:
    """Progress."""


MOMENT = Moment(run="r1", position=0, started_at=0.0, note=note)
PEOPLE = "CREATE TABLE people (id int PRIMARY KEY, name text); INSERT INTO people SELECT g, 'n' || g FROM generate_series(1, 300) g;"
LOUD = "operations:\n  - add_column: {table: people, up: upper(name), column: {name: loud, type: text, nullable: true}}\n  - drop_column: {table: people, column: name, down: lower(loud)}\n"
SHADOW = """
operations:
  - shadow_table:
      table: people
      columns: [{name: id, type: bigint, pk: true}, {name: loud, type: text, nullable: true}]
      up: {loud: upper(name)}
      down: {name: lower(loud)}
"""
BOTH = pytest.mark.parametrize("text", [LOUD, SHADOW], ids=["in place", "shadow"])


@BOTH
async def test_copy_and_truncate_on_base_tables_reach_both_versions(changing: Make, text: str) -> None:
    change = changing(PEOPLE, text)
    await change.begin()
    await change.up_to_code()
    with psycopg.connect(change.url, autocommit=True) as base:
        with base.cursor().copy("COPY people (id, name) FROM STDIN") as copy:
            copy.write("900\tada\n901\t\\N\n")
        assert change.rows(change.new_url, "SELECT loud FROM people WHERE id > 899 ORDER BY id") == [("ADA",), (None,)]
        base.execute("TRUNCATE people")
    for url in (change.old_url, change.new_url):
        assert change.rows(url, "SELECT count(*) FROM people") == [(0,)]
    change.rows(change.new_url, "INSERT INTO people (id, loud) VALUES (1, 'EVE')")
    assert change.rows(change.old_url, "SELECT * FROM people") == [(1, "eve")]
    await change.contract()


@BOTH
async def test_what_the_old_version_sets_to_null_or_deletes_while_rows_are_filled_stays_so(
    changing: Make, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hitless.database.filling.BATCH_FIRST", 50)
    monkeypatch.setattr("hitless.database.filling.BATCH_MAX", 50)
    change = changing(PEOPLE, text)
    await change.begin()
    expand, backfill, verify = change.steps.before
    batches = 0

    async def between() -> None:
        nonlocal batches
        batches += 1
        if batches == 3:  # rows before and behind where the filling has come
            change.rows(change.old_url, "UPDATE people SET name = NULL WHERE id IN (10, 290)")
            change.rows(change.old_url, "DELETE FROM people WHERE id IN (11, 291)")
            change.rows(change.old_url, "UPDATE people SET id = id + 1000 WHERE id IN (12, 292)")
            change.rows(
                change.old_url, "INSERT INTO people VALUES (5, NULL) ON CONFLICT (id) DO UPDATE SET name = 'up'"
            )

    driver = type(change.driver)(lambda _: change.url, between)
    for step in (expand, backfill, verify):
        await driver.do(step, MOMENT)
    assert batches > 5
    shown = "SELECT id, loud FROM people WHERE id IN (5, 10, 11, 12, 290, 291, 292, 1012, 1292) ORDER BY id"
    assert change.rows(change.new_url, shown) == [
        (5, "UP"),
        (10, None),
        (290, None),
        (1012, "N12"),
        (1292, "N292"),
    ]
    await change.contract()


@BOTH
async def test_texts_of_any_length_and_letter_stand_on_both_sides_as_they_were_written(
    changing: Make, text: str
) -> None:
    odd = ["", " ", "\t\n\r", "'\"\\%s{}$1", "ü漢🜁" * 50, "x" * (3 << 20), "\x01\x7f", "NULL", "\\N"]
    change = changing(PEOPLE, text.replace("upper(name)", "\"name || '.'\"").replace("lower(loud)", '"left(loud, -1)"'))
    await change.begin()
    with psycopg.connect(change.old_url, autocommit=True) as old:
        for key, value in enumerate(odd):
            old.execute("INSERT INTO people VALUES (%s, %s)", (1000 + key, value))
    await change.up_to_code()
    with psycopg.connect(change.new_url, autocommit=True) as new:
        for key, value in enumerate(odd):
            new.execute("INSERT INTO people (id, loud) VALUES (%s, %s)", (2000 + key, value + "."))
            assert new.execute("SELECT loud FROM people WHERE id = %s", (1000 + key,)).fetchone() == (value + ".",)
        with pytest.raises(psycopg.DataError, match="NUL"):
            new.execute("INSERT INTO people (id, loud) VALUES (3000, %s)", ("a\x00b",))
    with psycopg.connect(change.old_url, autocommit=True) as old:
        for key, value in enumerate(odd):
            assert old.execute("SELECT name FROM people WHERE id = %s", (2000 + key,)).fetchone() == (value,)
    await change.verify()


async def test_a_text_longer_than_the_other_side_holds_is_refused_and_never_cut(changing: Make) -> None:
    text = "operations:\n  - alter_column: {table: people, column: name, type: text, up: name, down: name}\n"
    change = changing(PEOPLE.replace("name text", "name varchar(5)"), text)
    await change.begin()
    await change.up_to_code()
    change.rows(change.new_url, "UPDATE people SET name = 'ééééé' WHERE id = 1")
    with pytest.raises(psycopg.errors.StringDataRightTruncation):
        change.rows(change.new_url, "UPDATE people SET name = 'éééééé' WHERE id = 2")
    assert change.rows(change.old_url, "SELECT name FROM people WHERE id < 3 ORDER BY id") == [("ééééé",), ("n2",)]
    await change.contract()
    change.rows(change.new_url, "UPDATE people SET name = 'éééééé' WHERE id = 2")


FAMILY = """
CREATE TABLE towns (id int PRIMARY KEY, code varchar(8) NOT NULL UNIQUE);
CREATE TABLE people (id int PRIMARY KEY, name text, town int REFERENCES towns ON DELETE CASCADE);
CREATE TABLE pets (id int PRIMARY KEY, owner int NOT NULL REFERENCES people ON DELETE CASCADE ON UPDATE CASCADE);
INSERT INTO towns SELECT g, 'c' || g FROM generate_series(1, 5) g;
INSERT INTO people SELECT g, 'n' || g, g % 5 + 1 FROM generate_series(1, 100) g;
INSERT INTO pets SELECT g, g FROM generate_series(1, 100) g;
"""


async def test_foreign_keys_both_ways_hold_and_cascade_for_both_versions(changing: Make) -> None:
    text = (
        LOUD
        + "  - alter_column: {table: people, column: town, type: bigint, up: town::bigint, down: town::int}\n"
        + "  - alter_column: {table: towns, column: code, type: text, up: code, down: code}\n"
    )
    change = changing(FAMILY, text)
    await change.there_and_back()
    for url, missing in ((change.old_url, 77), (change.new_url, 78)):
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            change.rows(url, f"UPDATE people SET town = {missing} WHERE id = 1")
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            change.rows(url, f"INSERT INTO pets VALUES (999, {missing + 1000})")
    change.rows(change.new_url, "DELETE FROM people WHERE id = 50")
    change.rows(change.old_url, "UPDATE people SET id = 1051 WHERE id = 51")
    change.rows(change.old_url, "DELETE FROM towns WHERE id = 3")
    left = "SELECT (SELECT count(*) FROM people), (SELECT count(*) FROM pets), (SELECT max(owner) FROM pets)"
    assert change.rows(change.old_url, left) == change.rows(change.new_url, left) == [(79, 79, 1051)]
    change.rows(change.new_url, "DELETE FROM towns WHERE id = 1")
    await change.contract()
    assert change.rows(change.new_url, left)[0][:2] == (60, 60)
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        change.rows(change.new_url, "UPDATE people SET town = 77")


async def test_quoted_and_very_long_names_of_a_shadow_table(changing: Make) -> None:
    table, column = 'Ta"ble ' + "x" * 56, 'Co"l, umn ' + "ü" * 26
    names = {each: '"' + each.replace('"', '""') + '"' for each in (table, column)}
    text = f"""
operations:
  - shadow_table:
      table: '{table}'
      columns: [{{name: id, type: bigint, pk: true}}, {{name: '{column}', type: bigint}}]
      up: {{'{column}': '{names[column]} + 1'}}
      down: {{'{column}': '({names[column]} - 1)::int'}}
"""
    setup = f"CREATE TABLE {names[table]} (id serial PRIMARY KEY, {names[column]} int NOT NULL CHECK ({names[column]} > 0)); INSERT INTO {names[table]} ({names[column]}) VALUES (5);"
    change = changing(setup, text)
    await change.there_and_back()
    change.rows(change.new_url, f"UPDATE {names[table]} SET {names[column]} = 9")
    assert change.rows(change.old_url, f"SELECT {names[column]} FROM {names[table]}") == [(8,)]
    await change.contract()
    assert change.rows(change.new_url, f"SELECT {names[column]} FROM {names[table]}") == [(9,)]
