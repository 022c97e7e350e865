"""Random writes of both versions where one row becomes several, or several one, through switch, hold and the way back."""

import asyncio
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.live.database.conftest import ANY_WRITES, MERGE, MOMENT, NEW, SPLIT

from hitless.database.driver import rolling, switched
from hitless.database.steps import Withdraw

pytestmark = pytest.mark.live

ARTICLES = """
CREATE TABLE articles (id int PRIMARY KEY, title text NOT NULL, tags text NOT NULL);
INSERT INTO articles SELECT g, 't' || g, 'a,b' || g FROM generate_series(1, 12) g;
"""
STOCK = """
CREATE TABLE stock (id int PRIMARY KEY, product text NOT NULL, amount int NOT NULL);
INSERT INTO stock SELECT g, 'p' || g % 4, g FROM generate_series(1, 12) g;
"""
Rows = dict[Any, tuple[Any, ...]]


class Articles:
    """Old: id -> title, tags. New: (article, place) -> title, tag. Who writes last says what the other side shows."""

    setup, change, old_columns, new_columns, keys = ARTICLES, SPLIT, "id, title, tags", "article, place, title, tag", 2
    old_table = new_table = "articles"

    def __init__(self) -> None:
        self.old: Rows = {g: (f"t{g}", f"a,b{g}") for g in range(1, 13)}
        self.new: Rows = {}
        for key in self.old:
            self._up(key)

    def _up(self, key: int) -> None:
        self.new = {each: row for each, row in self.new.items() if each[0] != key}
        if key in self.old:
            title, tags = self.old[key]
            self.new |= {(key, n): (title, tag) for n, tag in enumerate(tags.split(",") if tags else (), 1)}

    def _down(self, key: int) -> None:
        rows = sorted((each[1], row) for each, row in self.new.items() if each[0] == key)
        self.old.pop(key, None)
        if rows:
            self.old[key] = (max(row[0] for _, row in rows), ",".join(row[1] for _, row in rows))

    def write(self, old: Any, new: Any, step: tuple[str, str, int, int, str, str]) -> None:
        side, verb, key, place, title, word = step
        if side == "old":
            self._write_old(old, verb, key, place, title, ",".join([word, *"xy"[: place % 3]]))
        else:
            self._write_new(new, verb, key, place, title, word)

    def _write_old(self, old: Any, verb: str, key: int, place: int, title: str, tags: str) -> None:
        match verb:
            case "delete":
                old.execute("DELETE FROM articles WHERE id = %s", (key,))
                self.old.pop(key, None)
            case "rekey":
                if key not in self.old or key + 100 in self.old:
                    return
                old.execute("UPDATE articles SET id = id + 100 WHERE id = %s", (key,))
                self.old[key + 100] = self.old.pop(key)
                self._up(key + 100)
            case "update":
                old.execute("UPDATE articles SET tags = %s WHERE id = %s", (tags, key))
                if key not in self.old or self.old[key][1] == tags:
                    return  # nothing changes, and nothing on the other side
                self.old[key] = (self.old[key][0], tags)
            case _:
                upsert = (
                    "INSERT INTO articles VALUES (%s, %s, %s) ON CONFLICT (id) DO UPDATE SET title = excluded.title, "
                    "tags = excluded.tags"
                )
                old.execute(upsert, (key, title, tags))
                if self.old.get(key) == (title, tags):
                    return
                self.old[key] = (title, tags)
        self._up(key)

    def _write_new(self, new: Any, verb: str, key: int, place: int, title: str, tag: str) -> None:
        match verb:
            case "delete":
                new.execute("DELETE FROM articles WHERE article = %s AND place = %s", (key, place))
                if (key, place) not in self.new:
                    return
                del self.new[key, place]
            case "rekey":  # a part goes to another article
                if (key, place) not in self.new or (key + 100, place) in self.new:
                    return
                new.execute(
                    "UPDATE articles SET article = article + 100 WHERE article = %s AND place = %s", (key, place)
                )
                self.new[key + 100, place] = self.new.pop((key, place))
                self._down(key + 100)
            case "update":
                new.execute("UPDATE articles SET tag = %s WHERE article = %s AND place = %s", (tag, key, place))
                if (key, place) not in self.new or self.new[key, place][1] == tag:
                    return
                self.new[key, place] = (self.new[key, place][0], tag)
            case _:
                upsert = (
                    "INSERT INTO articles VALUES (%s, %s, %s, %s) ON CONFLICT (article, place) DO UPDATE SET "
                    "title = excluded.title, tag = excluded.tag"
                )
                new.execute(upsert, (key, place, title, tag))
                if self.new.get((key, place)) == (title, tag):
                    return
                self.new[key, place] = (title, tag)
        self._down(key)


class Stock:
    """Old: id -> product, amount. New: product -> ids, amounts."""

    setup, change, old_columns, new_columns, keys = STOCK, MERGE, "id, product, amount", "product, ids, amounts", 1
    old_table = new_table = "stock"

    def __init__(self) -> None:
        self.old: Rows = {g: (f"p{g % 4}", g) for g in range(1, 13)}
        self.new: Rows = {}
        for n in range(4):
            self._up(f"p{n}")

    def _up(self, product: str) -> None:
        rows = sorted((key, row[1]) for key, row in self.old.items() if row[0] == product)
        self.new.pop(product, None)
        if rows:
            self.new[product] = ([key for key, _ in rows], [amount for _, amount in rows])

    def _down(self, product: str) -> None:
        self.old = {key: row for key, row in self.old.items() if row[0] != product}
        for key, amount in zip(*self.new.get(product, ([], [])), strict=True):
            self.old[key] = (product, amount)

    def write(self, old: Any, new: Any, step: tuple[str, str, int, int, str, str]) -> None:
        side, verb, key, place, _, word = step
        product = f"p{len(word)}"
        if side == "old":
            self._write_old(old, verb, key, place, product)
        else:
            self._write_new(new, verb, place, product)

    def _write_old(self, old: Any, verb: str, key: int, amount: int, product: str) -> None:
        before = self.old.get(key)
        match verb:
            case "delete":
                old.execute("DELETE FROM stock WHERE id = %s", (key,))
                self.old.pop(key, None)
            case "rekey":
                if before is None or key + 100 in self.old:
                    return
                old.execute("UPDATE stock SET id = id + 100 WHERE id = %s", (key,))
                self.old[key + 100] = self.old.pop(key)
            case "update":
                old.execute("UPDATE stock SET amount = %s WHERE id = %s", (amount, key))
                if before is not None:
                    self.old[key] = (before[0], amount)
            case _:
                upsert = (
                    "INSERT INTO stock VALUES (%s, %s, %s) ON CONFLICT (id) DO UPDATE SET product = excluded.product, "
                    "amount = excluded.amount"
                )
                old.execute(upsert, (key, product, amount))
                self.old[key] = (product, amount)
                self._up(product)
        if before is not None:
            self._up(before[0])

    def _write_new(self, new: Any, verb: str, amount: int, product: str) -> None:
        match verb:
            case "delete":
                new.execute("DELETE FROM stock WHERE product = %s", (product,))
                self.new.pop(product, None)
            case "rekey":
                if product not in self.new or f"q{product}" in self.new:
                    return
                new.execute("UPDATE stock SET product = 'q' || product WHERE product = %s", (product,))
                self.new[f"q{product}"] = self.new.pop(product)
                self._down(product)
                self._down(f"q{product}")
                return
            case _:
                new.execute("UPDATE stock SET amounts[1] = %s WHERE product = %s", (amount, product))
                if product in self.new:
                    ids, amounts = self.new[product]
                    self.new[product] = (ids, [amount, *amounts[1:]])
        self._down(product)


WRITES = st.lists(
    st.tuples(
        st.sampled_from(["old", "new"]),
        st.sampled_from(["upsert", "update", "update", "delete", "rekey"]),
        st.integers(1, 14),
        st.integers(1, 4),
        st.sampled_from(["Ada", "Bob"]),
        st.text("xyz", max_size=3),
    ),
    min_size=5,
    max_size=20,
)


def compare(connection: Any, table: str, columns: str, keys: int, rows: Rows, said: str) -> None:
    found = connection.execute(f"SELECT {columns} FROM {table}".encode()).fetchall()
    assert {(row[0] if keys == 1 else row[:keys]): row[keys:] for row in found} == rows, said


@pytest.mark.parametrize("model", [Articles, Stock], ids=["split", "merge"])
def test_both_versions_always_show_what_the_model_shows(changing: Callable[[str, str], Any], model: Any) -> None:
    @ANY_WRITES
    @given(early=WRITES, late=WRITES, after=WRITES)
    def check(early: list[Any], late: list[Any], after: list[Any]) -> None:
        asyncio.run(_lived(changing(model.setup, model.change), model(), early, late, after))

    check()


async def _lived(change: Any, model: Any, early: list[Any], late: list[Any], after: list[Any]) -> None:
    await change.begin()
    await change.driver.do(change.steps.before[0], MOMENT)
    with (
        psycopg.connect(change.old_url, autocommit=True) as old,
        psycopg.connect(change.new_url, autocommit=True) as new,
    ):

        def same(said: str) -> None:
            compare(old, model.old_table, model.old_columns, 1, model.old, f"old, {said}")
            compare(new, model.new_table, model.new_columns, model.keys, model.new, f"new, {said}")

        for step in early:  # the new side is not filled yet: only the old one is spoken
            if step[0] == "old":
                model.write(old, new, step)
        for each in change.steps.before[1:]:
            await change.driver.do(each, MOMENT)
        same("backfilled")
        for step in late:
            model.write(old, new, step)
        same("before the switch")
        await switched(change.url, NEW, on=True)
        for step in after:
            model.write(old, new, step)
        same("after the switch")
        found = await rolling(change.url, NEW, budget_s=60.0)
        assert found is not None
        assert found.differing.listed == ()
        await change.verify()
    await change.driver.do(Withdraw(database="main", version=NEW), MOMENT)
    with psycopg.connect(change.url, autocommit=True) as base:
        compare(base, model.old_table, model.old_columns, 1, model.old, "taken back")
