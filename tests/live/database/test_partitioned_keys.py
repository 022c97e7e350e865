"""Keys and deferrable constraints of partitioned tables are made of indexes that were built beside running writes."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

pytestmark = pytest.mark.live
Make = Callable[[str, str], Any]
VISITS = """
CREATE TABLE visits (id int, day int, who text%s) PARTITION BY RANGE (day);
CREATE TABLE visits_1 PARTITION OF visits FOR VALUES FROM (0) TO (10);
CREATE TABLE visits_2 PARTITION OF visits FOR VALUES FROM (10) TO (20) PARTITION BY LIST (day);
CREATE TABLE "Visits 3" PARTITION OF visits_2 DEFAULT;
INSERT INTO visits SELECT g, g %% 20, 'w' || g FROM generate_series(1, 200) g;
"""
KEYED = ", PRIMARY KEY (id, day)"
DEFERRED = ", PRIMARY KEY (id, day), CONSTRAINT once UNIQUE (who, day) DEFERRABLE INITIALLY DEFERRED"
KEY = "operations:\n  - create_constraint: {table: visits, name: visits_pk, type: primary_key, columns: [id, day]}\n"
ONCE = "operations:\n  - create_constraint: {table: visits, name: once, type: unique, columns: [who, day], deferrable: true, initially_deferred: true}\n"
LOUD = (
    "operations:\n  - alter_column: {table: visits, column: who, type: varchar(40), up: upper(who), down: lower(who)}\n"
)
NODES = (
    "SELECT array_agg(pg_relation_filenode(indexrelid) ORDER BY indexrelid) FROM pg_index i JOIN pg_class c "
    "ON c.oid = indrelid WHERE relname IN ('visits_1', 'Visits 3')"
)
KINDS = "SELECT conname, contype::text, condeferrable, condeferred FROM pg_constraint WHERE conrelid = 'visits'::regclass AND contype IN ('p', 'u') ORDER BY 1"
PLAIN_KEY = ("visits_pkey", "p", False, False)


@pytest.mark.parametrize(
    ("table", "text", "kinds"),
    [
        ("", KEY, [("visits_pk", "p", False, False)]),
        (KEYED, ONCE, [("once", "u", True, True), PLAIN_KEY]),
        (DEFERRED, LOUD, [("once", "u", True, True), PLAIN_KEY]),
    ],
    ids=["a key", "a deferrable constraint", "one in the place of another"],
)
async def test_it_takes_over_what_was_built(table: str, text: str, kinds: list[Any], changing: Make) -> None:
    change = changing(VISITS % table, text)
    await change.there_and_back()
    who = "W3" if text == LOUD else "w3"
    with pytest.raises(psycopg.errors.UniqueViolation):
        change.rows(change.new_url, f"INSERT INTO visits VALUES (3, 3, '{who}')")
    (built,) = change.rows(change.url, NODES)
    await change.contract()
    assert change.rows(change.url, KINDS) == kinds
    (left,) = change.rows(change.url, NODES)
    assert set(left[0]) <= set(built[0])  # nothing was built while the table was held
    assert [each for each in change.catalogue() if "_hitless" in repr(each)] == []
    again = f"INSERT INTO visits VALUES (3, 3, '{who}')"
    with pytest.raises(psycopg.errors.UniqueViolation):
        change.rows(change.url, again)


async def test_a_deferrable_constraint_on_a_column_that_changes_stays_deferrable(changing: Make) -> None:
    setup = "CREATE TABLE visits (id int PRIMARY KEY, who text CONSTRAINT once UNIQUE DEFERRABLE)"
    change = changing(setup, LOUD)
    await change.begin()
    await change.up_to_code()
    await change.contract()
    assert change.rows(change.url, KINDS) == [("once", "u", True, False), PLAIN_KEY]
