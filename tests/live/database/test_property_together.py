"""Random operations as one change come to the same table as each of them in a change of its own."""

import asyncio
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.live.database.conftest import ANY_WRITES, MOMENT

from hitless.database.driver import DatabaseDriver, baseline, drift
from hitless.database.migration import Migration
from hitless.database.steps import schema_steps
from hitless.database.urls import version_url
from hitless.kit.errors import Refused

pytestmark = pytest.mark.live

SETUP = """
CREATE TABLE t (id int PRIMARY KEY, a text NOT NULL, b int DEFAULT 3, c text);
INSERT INTO t SELECT g, 'n' || g, g, CASE WHEN g % 2 = 0 THEN 'c' || g END FROM generate_series(1, 6) g;
"""
SHAPE = (
    "SELECT column_name, data_type, is_nullable, column_default FROM information_schema.columns "
    "WHERE table_schema = 'public' AND table_name = 't' ORDER BY 1"
)
RULES = "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 't'::regclass AND contype <> 'n' ORDER BY 1"
NOTHING = "operations:\n  - sql: {up: SELECT 1, down: SELECT 1}\n"  # each makes changes of its own
PICKS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 99)), min_size=2, max_size=7)


class Author:
    """Writes operations that make sense where they stand."""

    def __init__(self) -> None:
        self.types = {"a": "text", "b": "int", "c": "text"}
        self.made: list[str] = []  # constraints
        self.count = 0

    def operation(self, kind: int, pick: int) -> dict[str, Any] | None:
        name = sorted(self.types)[pick % len(self.types)]
        self.count += 1
        match kind:
            case 0 | 1:
                fresh, source = f"x{self.count}", f"t.{name}" if pick % 2 else name
                self.types[fresh] = "text"
                column = {"name": fresh, "type": "text", "nullable": pick % 3 > 0}
                return {
                    "add_column": {"table": "t", "up": f"coalesce({source}::text, 'none') || '+'", "column": column}
                }
            case 2 | 3:
                return self._retyped(name)
            case 4:
                default = f"'{self.count}'"
                return {"alter_column": {"table": "t", "column": name, "default": default}}
            case 5 | 6:
                to = f"y{self.count}"
                self.types[to] = self.types.pop(name)
                return {"rename_column": {"table": "t", "from": name, "to": to}}
            case 7 if len(self.types) > 1:
                kept = self.types.pop(name)
                return {"drop_column": {"table": "t", "column": name, "down": "'5'" if kept == "text" else "5"}}
            case 8:
                self.made.append(f"k{self.count}")
                check = {"name": self.made[-1], "constraint": f"{name} IS NOT NULL"}
                filled = "'none'" if self.types[name] == "text" else "0"
                up = f"coalesce({name}, {filled})"
                return {"alter_column": {"table": "t", "column": name, "check": check, "up": up, "down": name}}
            case 9 if self.made:
                return {"drop_multicolumn_constraint": {"table": "t", "name": self.made.pop()}}
            case _:
                return None

    def _retyped(self, name: str) -> dict[str, Any]:
        if self.types[name] == "text":
            self.types[name] = "int"
            mappings = {"type": "int", "up": f"length(t.{name})", "down": f"repeat('z', {name})", "default": None}
        else:
            self.types[name] = "text"
            mappings = {"type": "text", "up": f"{name} || '!'", "down": f"length({name})", "default": None}
        return {"alter_column": {"table": "t", "column": name, **mappings}}


async def contracted(url: str, *changes: list[dict[str, Any]]) -> str | None:
    """Carry changes out to their end; returns the code of a refusal."""
    await baseline(url, "0001_before")
    driver = DatabaseDriver(lambda _: url)
    for number, operations in enumerate(changes, 2):
        text = yaml.safe_dump({"operations": operations})
        steps = schema_steps("main", (Migration(name=f"{number:04d}_change", text=text),))
        try:
            for step in (*steps.before, *steps.after):
                await driver.do(step, MOMENT)
        except Refused as refusal:
            return refusal.code
    assert await drift(url) == []
    return None


def seen(url: str) -> tuple[Any, ...]:
    with psycopg.connect(url) as connection:
        names = ", ".join(sorted(row[0] for row in connection.execute(SHAPE).fetchall()))
        rows = connection.execute(f"SELECT {names} FROM t ORDER BY id".encode()).fetchall()
        return connection.execute(SHAPE).fetchall(), connection.execute(RULES).fetchall(), rows


def test_operations_of_one_change_come_to_what_each_alone_would(changing: Callable[[str, str], Any]) -> None:
    @ANY_WRITES
    @given(picks=PICKS)
    def check(picks: list[tuple[int, int]]) -> None:
        author = Author()
        operations = [each for pick in picks if (each := author.operation(*pick)) is not None]
        together, apart = (changing(SETUP, NOTHING).url for _ in range(2))
        refused = asyncio.run(contracted(together, operations))
        alone = asyncio.run(contracted(apart, *([each] for each in operations)))
        if refused is None and alone is None:
            assert seen(together) == seen(apart), operations
        else:
            assert refused in ("changed-twice", alone), (operations, alone)

    check()


async def test_the_old_version_sees_its_rows_until_the_end(changing: Callable[[str, str], Any]) -> None:
    author = Author()
    picks = [(0, 1), (2, 1), (5, 3), (8, 0), (9, 0), (2, 4), (7, 2)]
    operations = [each for pick in picks if (each := author.operation(*pick)) is not None]
    change = changing(SETUP, yaml.safe_dump({"operations": operations}))
    await change.begin()
    before = change.rows(version_url(change.url, "0001_before"), "SELECT * FROM t ORDER BY id")
    await change.up_to_code()
    assert change.rows(change.old_url, "SELECT * FROM t ORDER BY id") == before
