"""Two versions write the same row of a shadow table in the same moment: nobody meets a deadlock, no write is lost."""

import asyncio
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from hitless.database.driver import rolling, switched

pytestmark = pytest.mark.live
SETUP = """
CREATE TABLE orders (id int PRIMARY KEY, total int NOT NULL, note text, town text);
INSERT INTO orders SELECT g, g, 'n' || g, 'Ulm' FROM generate_series(1, 50) g;
"""
SHADOW = """
operations:
  - shadow_table:
      table: orders
      columns:
        - {name: id, type: bigint, pk: true}
        - {name: cents, type: bigint}
        - {name: note, type: text, nullable: true}
        - {name: town, type: text, nullable: true}
      up: {cents: total * 100}
      down: {total: (cents / 100)::int}
"""
BOTH = (
    "SELECT count(*) FROM hitless_0001_before.orders o FULL JOIN hitless_0002_change.orders n ON n.id = o.id "
    "WHERE o.total * 100 IS DISTINCT FROM n.cents OR o.note IS DISTINCT FROM n.note OR o.town IS DISTINCT FROM n.town"
)


@pytest.fixture
async def change(changing: Callable[[str, str], Any]) -> Any:
    change = changing(SETUP, SHADOW)
    await change.begin()
    await change.up_to_code()
    return change


async def at_once(change: Any, *, old: str, new: str, end: str = "COMMIT") -> list[str]:
    """Let both versions lock their own side of a row before either writes; returns what went wrong.

    The one of the old version ends its transaction by `end`.
    """
    troubles: list[str] = []
    both_hold = asyncio.Barrier(2)

    async def session(url: str, sql: str, end: str) -> None:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            try:
                await connection.execute("BEGIN")
                await connection.execute("SELECT 1 FROM orders WHERE id = 7 FOR UPDATE")
                await both_hold.wait()
                await connection.execute(sql)
                await connection.execute(end)
            except psycopg.Error as error:
                troubles.append(f"{error.sqlstate}: {error}")

    await asyncio.gather(session(change.old_url, old, end), session(change.new_url, new, "COMMIT"))
    return troubles


OLD_WRITE, NEW_WRITE = "UPDATE orders SET total = 70 WHERE id = 7", "UPDATE orders SET town = 'Bonn' WHERE id = 7"


@pytest.mark.parametrize(
    ("old", "new", "row"),
    [
        (OLD_WRITE, NEW_WRITE, (70, "n7", "Bonn")),
        (OLD_WRITE, "UPDATE orders SET cents = 900, note = 'x' WHERE id = 7", (70, "x", "Ulm")),  # the later one wins
        (OLD_WRITE, "DELETE FROM orders WHERE id = 7", None),
        ("DELETE FROM orders WHERE id = 7", NEW_WRITE, None),
        ("DELETE FROM orders WHERE id = 7", "DELETE FROM orders WHERE id = 7", None),
    ],
)
async def test_both_writes_of_one_row_succeed_and_stand_on_both_sides(
    change: Any, old: str, new: str, row: tuple[Any, ...] | None
) -> None:
    assert await at_once(change, old=old, new=new) == []
    found = change.rows(change.old_url, "SELECT total, note, town FROM orders WHERE id = 7")
    assert found == ([row] if row else [])
    assert change.rows(change.url, BOTH) == [(0,)]
    assert change.rows(change.url, "SELECT * FROM hitless.deferred") == []
    await change.contract()


@pytest.mark.parametrize(
    ("new", "row"),
    [(NEW_WRITE, (7, "n7", "Bonn")), ("DELETE FROM orders WHERE id = 7", None)],
    ids=["update", "delete"],
)
async def test_what_was_left_to_a_transaction_that_gave_up_is_done_by_the_controller(
    change: Any, new: str, row: tuple[Any, ...] | None
) -> None:
    assert await at_once(change, old=OLD_WRITE, new=new, end="ROLLBACK") == []
    await rolling(change.url, "0002_change")
    assert change.rows(change.old_url, "SELECT total, note, town FROM orders WHERE id = 7") == ([row] if row else [])
    assert change.rows(change.url, BOTH) == [(0,)]
    assert change.rows(change.url, "SELECT * FROM hitless.deferred") == []


async def test_a_switch_back_is_over_only_when_nothing_is_left_to_anybody(change: Any) -> None:
    assert await at_once(change, old=OLD_WRITE, new=NEW_WRITE, end="ROLLBACK") == []
    await switched(change.url, "0002_change", on=False)
    assert change.rows(change.old_url, "SELECT total, note, town FROM orders WHERE id = 7") == [(7, "n7", "Bonn")]
    assert change.rows(change.url, "SELECT * FROM hitless.deferred") == []


async def test_a_row_that_is_only_held_is_waited_for_as_long_as_the_session_wants(change: Any) -> None:
    with psycopg.connect(change.old_url) as holding:
        holding.execute("SELECT 1 FROM orders WHERE id = 7 FOR UPDATE")
        with psycopg.connect(change.new_url) as impatient:
            impatient.execute("SET lock_timeout = '200ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                impatient.execute(NEW_WRITE)
        waiting = asyncio.ensure_future(asyncio.to_thread(change.rows, change.new_url, NEW_WRITE))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        holding.execute(OLD_WRITE)
        holding.commit()
        await waiting
    assert change.rows(change.old_url, "SELECT total, town FROM orders WHERE id = 7") == [(70, "Bonn")]
    assert change.rows(change.url, BOTH) == [(0,)]


async def test_many_sessions_of_both_versions_on_few_rows_meet_no_error(change: Any) -> None:
    async def writer(url: str, sql: str) -> None:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            for number in range(150):
                await connection.execute(sql, (number % 3 + 1,))

    old = ["UPDATE orders SET total = total + 1 WHERE id = %s", "UPDATE orders SET note = note || '.' WHERE id = %s"]
    new = ["UPDATE orders SET town = town || '!' WHERE id = %s", "UPDATE orders SET note = note || ':' WHERE id = %s"]
    await asyncio.gather(*(writer(change.old_url, sql) for sql in old), *(writer(change.new_url, sql) for sql in new))
    await rolling(change.url, "0002_change")
    assert change.rows(change.url, BOTH) == [(0,)]
    rows = change.rows(change.old_url, "SELECT id, total - id, length(town) - 3 FROM orders WHERE id < 4 ORDER BY 1")
    assert rows == [(number, 50, 50) for number in (1, 2, 3)]  # of columns that one version writes none is lost
