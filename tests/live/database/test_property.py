"""Random changes and random writes of both versions at the same time, against a model of what each side must show."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.live.database.conftest import ANY_WRITES, MOMENT, NEW

from hitless.database.driver import rolling, switched
from hitless.database.steps import Withdraw

pytestmark = pytest.mark.live

WRITERS = 4

SETUP = """
CREATE TABLE t (id int PRIMARY KEY, a int, b text NOT NULL DEFAULT 'b', c int NOT NULL DEFAULT 7, d text);
INSERT INTO t SELECT g, g, 'b' || g, g % 5, CASE WHEN g % 3 = 0 THEN 'd' || g END FROM generate_series(1, 30) g;
"""
# what a change may hold, each on columns of its own: they may all come together
CHOICES = (
    "alter_column: {table: t, column: a, type: bigint, up: a::bigint + 1, down: (a - 1)::int}",
    "rename_column: {table: t, from: b, to: bb}",
    "add_column: {table: t, up: \"coalesce(d, 'none')\", column: {name: e, type: text}}",
    "alter_column: {table: t, column: c, nullable: true, default: null, up: c, down: 'coalesce(c, -1)'}",
    "drop_column: {table: t, column: d, down: e}",
    "create_index: {name: t_c, table: t, columns: [{column: c}]}",
)
SHADOW = """shadow_table:
      table: t
      columns:
        - {name: id, type: bigint, pk: true}
        - {name: a, type: bigint, nullable: true}
        - {name: b, type: text, default: "'b'"}
        - {name: c, type: int, nullable: true}
        - {name: e, type: text}
      up: {a: a::bigint + 1, e: "coalesce(d, 'none')"}
      down: {a: (a - 1)::int, c: "coalesce(c, -1)", d: e}"""


class Model:
    """Both sides as plain rows; each write is mapped as the change says."""

    def __init__(self, chosen: set[int], rows: list[tuple[Any, ...]]) -> None:
        self.chosen = chosen
        self.old = {row[0]: dict(zip("abcd", row[1:], strict=True)) for row in rows}
        self.new = {key: self.up(row) for key, row in self.old.items()}

    def up(self, row: dict[str, Any]) -> dict[str, Any]:
        a = row["a"] + 1 if 0 in self.chosen and row["a"] is not None else row["a"]
        e = ("none" if row["d"] is None else row["d"]) if 2 in self.chosen else None
        return {"a": a, "b": row["b"], "c": row["c"], "d": row["d"] if 4 not in self.chosen else None, "e": e}

    def write_old(self, key: int, values: dict[str, Any]) -> None:
        row = {"a": None, "b": "b", "c": 7, "d": None, **self.old.get(key, {}), **values}
        before, self.old[key] = self.old.get(key), row
        mapped = self.up(row)
        if before is None:
            self.new[key] = mapped
            return
        for name, reads in (("a", "a"), ("b", "b"), ("c", "c"), ("d", "d"), ("e", "d")):
            if before[reads] != row[reads]:
                self.new[key][name] = mapped[name]

    def write_new(self, key: int, values: dict[str, Any]) -> None:
        c = None if 3 in self.chosen else 7
        row = {"a": None, "b": "b", "c": c, "d": None, "e": None, **self.new.get(key, {}), **values}
        before, self.new[key] = self.new.get(key), row
        mapped: dict[str, Any] = {
            "a": row["a"] - 1 if 0 in self.chosen and row["a"] is not None else row["a"],
            "b": row["b"],
            "c": -1 if row["c"] is None else row["c"],
            "d": row["e"] if 4 in self.chosen else row["d"],
        }
        if before is None:
            self.old[key] = mapped
            return
        for name, reads in (("a", "a"), ("b", "b"), ("c", "c"), ("d", "e" if 4 in self.chosen else "d")):
            if before[reads] != row[reads]:
                self.old[key][name] = mapped[name]


NUMBERS, TEXTS = st.none() | st.integers(-9, 9), st.text("xyz ", max_size=3)
WRITES = st.lists(
    st.tuples(
        st.sampled_from(["old", "new"]),
        st.sampled_from(["insert", "update", "upsert", "delete", "rekey"]),
        st.integers(1, 40),
        st.fixed_dictionaries(
            {}, optional={"a": NUMBERS, "b": TEXTS, "c": NUMBERS, "d": st.none() | TEXTS, "e": TEXTS}
        ),
    ),
    min_size=8,
    max_size=25,
)


def names_of(side: str, chosen: set[int], shadow: bool) -> dict[str, str]:
    """Return the columns of a side by their name in the model."""
    if side == "old":
        return {"a": "a", "b": "b", "c": "c", "d": "d"}
    names = {"a": "a", "b": "bb" if 1 in chosen and not shadow else "b", "c": "c"}
    names |= {"d": "d"} if 4 not in chosen else {}
    return names | ({"e": "e"} if 2 in chosen else {})


def carry_out(connection: psycopg.Connection[Any], model: Model, step: tuple[str, str, int, Any], shadow: bool) -> None:
    """One write, in the database and in the model."""
    side, verb, key, values = step
    rows = model.old if side == "old" else model.new
    names = names_of(side, model.chosen, shadow)
    values = {name: value for name, value in values.items() if name in names}
    if "c" in values and values["c"] is None and (side == "old" or 3 not in model.chosen):
        values["c"] = 0
    if verb in ("insert", "upsert") and side == "new" and 2 in model.chosen:
        values.setdefault("e", "own")  # must not be NULL
    there = key in rows
    write = model.write_old if side == "old" else model.write_new
    if verb == "delete" and there:
        connection.execute("DELETE FROM t WHERE id = %s", (key,))
        del model.old[key], model.new[key]
    elif verb == "rekey" and there and key + 100 not in rows:
        connection.execute("UPDATE t SET id = id + 100 WHERE id = %s", (key,))
        model.old[key + 100], model.new[key + 100] = model.old.pop(key), model.new.pop(key)
    elif verb == "update" and there and values:
        sets = ", ".join(f"{names[each]} = %s" for each in values)
        connection.execute(f"UPDATE t SET {sets} WHERE id = %s".encode(), (*values.values(), key))
        write(key, values)
    elif verb in ("insert", "upsert") and (not there or verb == "upsert"):
        columns = ["id", *(names[each] for each in values)]
        marks = ", ".join(["%s"] * len(columns))
        again = ", ".join(f"{names[each]} = excluded.{names[each]}" for each in values) or "id = excluded.id"
        sql = f"INSERT INTO t ({', '.join(columns)}) VALUES ({marks}) ON CONFLICT (id) DO UPDATE SET {again}"
        connection.execute(sql.encode(), (key, *values.values()))
        write(key, values)


def all_at_once(change: Any, model: Model, steps: list[Any], shadow: bool) -> None:
    """Four applications write on both versions at the same time, each its own rows: what they must be is known."""

    def write(which: int) -> None:
        with (
            psycopg.connect(change.old_url, autocommit=True) as old,
            psycopg.connect(change.new_url, autocommit=True) as new,
        ):
            for step in steps:
                if step[2] % WRITERS == which:  # a row that gets another key, 100 above, stays with its writer
                    carry_out(old if step[0] == "old" else new, model, step, shadow)

    with ThreadPoolExecutor(WRITERS) as writers:
        list(writers.map(write, range(WRITERS)))


def unfilled(step: tuple[str, str, int, Any]) -> tuple[str, str, int, Any]:
    """A row that is not filled yet shows NULL on the new side: NULL written there is no change."""
    given = {name: each for name, each in step[3].items() if each is not None}
    return (*step[:3], given) if step[0] == "new" else step


def compare(connection: psycopg.Connection[Any], rows: dict[int, dict[str, Any]], names: dict[str, str]) -> None:
    columns = ", ".join(["id", *names.values()])
    found = connection.execute(f"SELECT {columns} FROM t".encode()).fetchall()
    assert {row[0]: dict(zip(names, row[1:], strict=True)) for row in found} == {
        key: {name: row[name] for name in names} for key, row in rows.items()
    }


@pytest.mark.parametrize("shadow", [False, True], ids=["in place", "shadow"])
def test_both_versions_always_show_what_the_model_shows(changing: Callable[[str, str], Any], shadow: bool) -> None:
    @ANY_WRITES
    @given(chosen=st.sets(st.integers(0, 5), min_size=1), early=WRITES, late=WRITES, after=WRITES)
    def check(chosen: set[int], early: list[Any], late: list[Any], after: list[Any]) -> None:
        if 4 in chosen:
            chosen = chosen | {2}  # its down reads e
        if shadow:
            chosen = {0, 2, 3, 4}
        text = SHADOW if shadow else "\n  - ".join(CHOICES[each] for each in sorted(chosen))
        asyncio.run(_lived(changing(SETUP, f"operations:\n  - {text}\n"), chosen, early, late, after, shadow))

    check()


async def _lived(
    change: Any, chosen: set[int], early: list[Any], late: list[Any], after: list[Any], shadow: bool
) -> None:
    await change.begin()
    await change.driver.do(change.steps.before[0], MOMENT)
    with psycopg.connect(change.url) as base:
        rows = base.execute("SELECT id, a, b, c, d FROM t").fetchall()
    model = Model(chosen, rows)
    early = [unfilled(step) for step in early if step[0] == "old" or not shadow]
    writing = asyncio.create_task(asyncio.to_thread(all_at_once, change, model, early, shadow))
    for each in change.steps.before[1:]:  # filled and compared while they write
        await change.driver.do(each, MOMENT)
    await writing
    for steps, is_on in ((late, False), (after, True)):
        await switched(change.url, NEW, on=is_on)
        await asyncio.to_thread(all_at_once, change, model, steps, shadow)
        with psycopg.connect(change.old_url) as old, psycopg.connect(change.new_url) as new:
            compare(old, model.old, names_of("old", chosen, shadow))
            compare(new, model.new, names_of("new", chosen, shadow))
    found = await rolling(change.url, NEW, budget_s=60.0)
    assert found is None or found.differing.listed == ()
    await change.verify()
    await change.driver.do(Withdraw(database="main", version=NEW), MOMENT)
    with psycopg.connect(change.url) as base:
        compare(base, model.old, names_of("old", chosen, shadow))
