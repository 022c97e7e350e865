"""Random writes of rows that the old side cannot hold: refused before the switch, listed after it, never changed."""

import asyncio
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.live.database.conftest import ANY_WRITES, MOMENT, NEW

from hitless.database.driver import rolling, switched, unmappable
from hitless.database.steps import Withdraw
from hitless.kit.errors import Refused

pytestmark = pytest.mark.live

SETUP = "CREATE TABLE t (id int PRIMARY KEY, a int); INSERT INTO t SELECT g, g FROM generate_series(1, 10) g"
IN_PLACE = "operations:\n  - alter_column: {table: t, column: a, type: bigint, up: a::bigint, down: a::int}\n"
SHADOW = (
    "operations:\n  - shadow_table: {table: t, columns: [{name: id, type: bigint, pk: true}, "
    "{name: a, type: bigint, nullable: true}]}\n"
)
TOO_MUCH = 5_000_000_000
WRITES = st.lists(
    st.tuples(
        st.sampled_from(["old", "new", "new"]),
        st.sampled_from(["update", "update", "insert", "delete", "rekey", "away", "away", "home", "home"]),
        st.integers(1, 12),
        st.none() | st.integers(-3, 3) | st.sampled_from([TOO_MUCH, -TOO_MUCH]),
    ),
    min_size=8,
    max_size=25,
)


class Model:
    """What both sides show, and which keys are listed."""

    def __init__(self, *, alone: bool) -> None:
        self.alone = alone  # a new row that the old side cannot hold has no old row beside it
        self.old: dict[int, int | None] = {g: g for g in range(1, 11)}
        self.new = dict(self.old)
        self.lost: set[int] = set()
        self.away = dict[int, int]()  # key on the old side -> key on the new side that the old one cannot hold
        self.recorded = False  # from the switch on

    def write(self, connection: Any, step: tuple[str, str, int, int | None]) -> None:
        side, verb, key, value = step
        rows = self.old if side == "old" else self.new
        if key in self.away or verb in ("away", "home"):
            self._afar(connection, side, verb, key, value)
            return
        if side == "old" and value is not None and abs(value) == TOO_MUCH:
            value = 1
        if verb == "delete":
            connection.execute("DELETE FROM t WHERE id = %s", (key,))
            self.old.pop(key, None), self.new.pop(key, None), self.lost.discard(key)
        elif verb == "rekey" and key in rows and key + 100 not in self.new:
            connection.execute("UPDATE t SET id = id + 100 WHERE id = %s", (key,))
            for each in (self.old, self.new):
                if key in each:
                    each[key + 100] = each.pop(key)
            self.lost = {each + 100 if each == key else each for each in self.lost}
        elif (verb == "update" and key in rows) or (verb == "insert" and key not in self.new):
            sql = "UPDATE t SET a = %s WHERE id = %s" if verb == "update" else "INSERT INTO t (a, id) VALUES (%s, %s)"
            fits = value is None or abs(value) != TOO_MUCH
            if not fits and not self.recorded and rows.get(key) != value:
                with pytest.raises(psycopg.errors.NumericValueOutOfRange):
                    connection.execute(sql.encode(), (value, key))
                return
            connection.execute(sql.encode(), (value, key))
            self._written(side, key, value, fits=fits, changed=key not in rows or rows[key] != value)

    def _afar(self, connection: Any, side: str, verb: str, key: int, value: int | None) -> None:
        """Write a row whose key the old side cannot hold: it keeps the one that it had."""
        far = self.away.get(key, key + TOO_MUCH)
        fits = value is None or abs(value) != TOO_MUCH
        if (
            verb == "away"
            and self.alone
            and self.recorded
            and key in self.old
            and self.new.get(key, TOO_MUCH) != TOO_MUCH
        ):
            connection.execute("UPDATE t SET id = %s WHERE id = %s", (far, key)) if side == "new" else None
            if side == "new":
                self.new[far] = self.new.pop(key)
                self.away[key] = far
                self.lost = {each for each in self.lost if each != key} | {far}
        elif key not in self.away:
            return
        elif verb == "home" and side == "new":
            connection.execute("UPDATE t SET id = %s WHERE id = %s", (key, far))
            self.new[key] = self.new.pop(self.away.pop(key))
            self.lost.discard(far)
            if self.new[key] is None or abs(self.new[key] or 0) != TOO_MUCH:
                self.old[key] = self.new[key]
            else:
                self.lost.add(key)
        elif verb == "delete":
            connection.execute("DELETE FROM t WHERE id = %s", (key if side == "old" else far,))
            self.old.pop(key), self.new.pop(self.away.pop(key)), self.lost.discard(far)
        elif verb == "update":
            if side == "old" and fits:
                connection.execute("UPDATE t SET a = %s WHERE id = %s", (value, key))
                self.new[far] = self.new[far] if self.old[key] == value else value
                self.old[key] = value
            elif side == "new":
                connection.execute("UPDATE t SET a = %s WHERE id = %s", (value, far))
                self.old[key] = value if fits and self.new[far] != value else self.old[key]
                self.new[far] = value

    def _written(self, side: str, key: int, value: int | None, *, fits: bool, changed: bool) -> None:
        if side == "old":
            self.old[key] = value
            if changed:
                self.new[key] = value
                self.lost.discard(key)
            return
        self.new[key] = value
        if fits and changed:
            self.old[key] = value
            self.lost.discard(key)
        elif not fits and changed:
            if not self.alone:
                self.old.setdefault(key, None)  # as it was; a new row has nothing there
            self.lost.add(key)


@pytest.mark.parametrize("text", [IN_PLACE, SHADOW], ids=["in place", "shadow"])
def test_what_the_old_side_cannot_hold_is_always_known(changing: Callable[[str, str], Any], text: str) -> None:
    @ANY_WRITES
    @given(before=WRITES, after=WRITES)
    def check(before: list[Any], after: list[Any]) -> None:
        asyncio.run(_lived(changing(SETUP, text), text, before, after))

    check()


async def _lived(change: Any, text: str, before: list[Any], after: list[Any]) -> None:
    model = Model(alone="shadow_table" in text)
    await change.begin()
    await change.up_to_code()
    with (
        psycopg.connect(change.old_url, autocommit=True) as old,
        psycopg.connect(change.new_url, autocommit=True) as new,
    ):
        for step in before:
            model.write(old if step[0] == "old" else new, step)
        await switched(change.url, NEW, on=True)
        model.recorded = True
        for step in after:
            model.write(old if step[0] == "old" else new, step)
        for connection, rows in ((old, model.old), (new, model.new)):
            assert dict(connection.execute("SELECT id, a FROM t").fetchall()) == rows
    assert {int(each.key[0]) for each in await unmappable(change.url, NEW)} == model.lost
    found = await rolling(change.url, NEW, budget_s=60.0)
    assert found is not None
    assert found.differing.listed == ()
    await change.verify()
    if model.lost:
        with pytest.raises(Refused, match=f"--accept-loss {len(model.lost)}$"):
            await change.driver.do(Withdraw(database="main", version=NEW), MOMENT)
    await change.driver.do(Withdraw(database="main", version=NEW, accept_loss=len(model.lost)), MOMENT)
    with psycopg.connect(change.url) as base:
        assert dict(base.execute("SELECT id, a FROM t").fetchall()) == model.old
