"""Columns stay where code has seen them, version after version: SELECT * and INSERT without names mean the same."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.live.database.conftest import MOMENT

from hitless.database.driver import DatabaseDriver
from hitless.database.migration import Migration
from hitless.database.steps import schema_steps
from hitless.database.urls import version_url

pytestmark = pytest.mark.live
Make = Callable[[str, str], Any]
SETUP = "CREATE TABLE p (id int PRIMARY KEY, a int, b text, c int); INSERT INTO p VALUES (1, 2, 'x', 3);"
WIDER = "operations:\n  - alter_column: {table: p, column: a, type: bigint, up: a, down: 'a::int'}\n"
SHADOW = """
operations:
  - shadow_table:
      table: p
      columns:
        - {name: id, type: bigint, pk: true}
        - {name: a, type: int, nullable: true}
        - {name: b, type: text, nullable: true}
        - {name: c, type: int, nullable: true}
"""
AGAIN = "operations:\n  - alter_column: {table: p, column: b, nullable: false, up: \"coalesce(b, '')\", down: b}\n"
OTHER = "operations:\n  - create_table: {name: q, columns: [{name: id, type: int, pk: true}]}\n"
RENAMED = "operations:\n  - rename_column: {table: p, from: a, to: z}\n"
ADDED = "operations:\n  - add_column: {table: p, column: {name: d, type: int, nullable: true}}\n"
BY_SQL = "operations:\n  - sql: {up: 'CREATE TABLE q (id int PRIMARY KEY)', down: 'DROP TABLE q'}\n"
COMPUTED = "operations:\n  - add_column: {table: r, column: {name: d, type: int, generated: {expression: 'c * 2'}}}\n"
MOVED = "operations:\n  - rename_table: {from: p, to: r}\n"


@pytest.mark.parametrize(
    ("texts", "table", "columns"),
    [
        ((WIDER, OTHER), "p", ["id", "a", "b", "c"]),
        ((WIDER, BY_SQL), "p", ["id", "a", "b", "c"]),
        ((WIDER, RENAMED, ADDED), "p", ["id", "z", "b", "c", "d"]),
        ((WIDER, MOVED, COMPUTED), "r", ["id", "a", "b", "c", "d"]),
        ((WIDER, SHADOW, AGAIN, OTHER), "p", ["id", "a", "b", "c"]),
    ],
    ids=["other", "sql", "renamed", "moved", "shadow"],
)
async def test_a_new_version_has_its_columns_where_the_one_before_had_them(
    texts: tuple[str, ...], table: str, columns: list[str], changing: Make
) -> None:
    first = changing(SETUP, texts[0])
    await first.begin()
    driver = DatabaseDriver(lambda _: first.url)
    for number, text in enumerate(texts, 2):
        name = f"{number:04d}_change"
        steps = schema_steps("main", (Migration(name=name, text=text),))
        url = version_url(first.url, name)
        for step in steps.before:
            await driver.do(step, MOMENT)
        before = _columns(first, url)
        for step in steps.after:
            await driver.do(step, MOMENT)
        assert _columns(first, url) == before, "contract moves nothing"
    assert before[table] == columns
    assert first.rows(url, f"SELECT * FROM {table}")[0][:4] == (1, 2, "x", 3)


def _columns(change: Any, url: str) -> dict[str, list[str]]:
    found = change.rows(
        url,
        "SELECT c.relname, array_agg(a.attname::text ORDER BY a.attnum) FROM pg_class c "
        "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 "
        "WHERE c.relkind = 'v' AND c.relnamespace = current_schema()::regnamespace GROUP BY 1",
    )
    return {name: list(columns) for name, columns in found}
