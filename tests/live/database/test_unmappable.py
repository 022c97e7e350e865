"""Rows that one side cannot hold: refused before the switch, listed after it, and never silently changed."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from hitless.database.driver import DatabaseDriver, switched, unmappable
from hitless.database.steps import Withdraw
from hitless.kit.errors import HitlessError, Refused
from hitless.plan.ports import Moment

pytestmark = pytest.mark.live

SETUP = """
CREATE TABLE people (id int PRIMARY KEY, name text NOT NULL, age int);
INSERT INTO people SELECT g, 'First' || g || ' Last' || g, g FROM generate_series(1, 30) g;
"""
WIDEN = "operations:\n  - alter_column: {table: people, column: age, type: bigint, up: age::bigint, down: age::int}\n"
SPLIT = """
operations:
  - add_column: {table: people, up: "split_part(name, ' ', 1)", column: {name: first, type: text, nullable: true}}
  - drop_column: {table: people, column: name, down: first}
"""
SHADOW = """
operations:
  - shadow_table: {table: people, columns: [{name: id, type: bigint, pk: true}, {name: name, type: text}, {name: age, type: bigint, nullable: true}]}
"""
NARROW = "operations:\n  - alter_column: {table: people, column: name, type: int, up: 'length(name) / (30 - id)', down: name::text%s}\n"


async def note(_: dict[str, object]) -> None:
    """Progress."""


MOMENT = Moment(run="r1", position=0, started_at=0.0, note=note)


@pytest.mark.parametrize("text", [WIDEN, SHADOW], ids=["in place", "shadow"])
async def test_what_the_old_side_cannot_hold_is_refused_before_the_switch_and_listed_after_it(
    changing: Callable[[str, str], Any], text: str
) -> None:
    change = changing(SETUP, text)
    await change.begin()
    await change.up_to_code()
    too_much = "UPDATE people SET age = 5000000000 WHERE id = 3"
    with pytest.raises(psycopg.errors.NumericValueOutOfRange):
        change.rows(change.new_url, too_much)
    await switched(change.url, "0002_change", on=True)
    change.rows(change.new_url, too_much)
    change.rows(change.new_url, "INSERT INTO people (id, name, age) VALUES (50, 'n', 6000000000)")
    assert change.rows(change.new_url, "SELECT age FROM people WHERE id = 3") == [(5_000_000_000,)]
    assert change.rows(change.old_url, "SELECT age FROM people WHERE id = 3") == [(3,)]  # as it was
    assert [(each.table, each.key, each.side) for each in await unmappable(change.url, "0002_change")] == [
        ("people", ("3",), "new"),
        ("people", ("50",), "new"),
    ]
    assert "22003" in (await unmappable(change.url, "0002_change"))[0].why
    await change.verify()  # listed rows are known: nothing else differs
    back = Withdraw(database="main", version="0002_change")
    with pytest.raises(Refused, match="--accept-loss 2") as refusal:
        await change.driver.do(back, MOMENT)
    assert refusal.value.code == "loss-not-accepted"
    change.rows(change.new_url, "UPDATE people SET age = 4 WHERE id = 3")  # fits again
    change.rows(change.new_url, "UPDATE people SET id = 51, age = 7000000000 WHERE id = 50")
    assert [each.key for each in await unmappable(change.url, "0002_change")] == [("51",)]
    await change.driver.do(Withdraw(database="main", version="0002_change", accept_loss=1), MOMENT)
    assert change.rows(change.url, "SELECT age FROM people WHERE id = 3") == [(4,)]


async def test_a_listed_row_that_is_deleted_is_no_loss(changing: Callable[[str, str], Any]) -> None:
    change = changing(SETUP, WIDEN)
    await change.begin()
    await change.up_to_code()
    await switched(change.url, "0002_change", on=True)
    change.rows(change.new_url, "UPDATE people SET age = 5000000000 WHERE id = 3")
    change.rows(change.new_url, "DELETE FROM people WHERE id = 3")
    assert await unmappable(change.url, "0002_change") == []
    await change.back()


async def test_null_where_the_old_side_forbids_it(changing: Callable[[str, str], Any]) -> None:
    change = changing(SETUP, SPLIT)
    await change.begin()
    await change.up_to_code()
    with pytest.raises(psycopg.errors.NotNullViolation, match='"name"'):
        change.rows(change.new_url, "INSERT INTO people (id) VALUES (50)")
    await switched(change.url, "0002_change", on=True)
    change.rows(change.new_url, "INSERT INTO people (id) VALUES (50)")
    change.rows(change.new_url, "UPDATE people SET first = NULL WHERE id = 1")
    assert change.rows(change.old_url, "SELECT name FROM people WHERE id IN (1, 50) ORDER BY id") == [
        ("First1 Last1",),
        ("",),
    ]
    assert len(await unmappable(change.url, "0002_change")) == 2
    await change.contract()
    assert change.rows(change.new_url, "SELECT first FROM people WHERE id = 50") == [(None,)]


async def test_a_row_that_the_new_side_cannot_hold_stops_the_backfill_by_its_key(
    changing: Callable[[str, str], Any],
) -> None:
    change = changing(SETUP, NARROW % "")
    await change.begin()
    with pytest.raises(HitlessError, match=r"people 30 does not fit the new version: 22012"):
        await change.up_to_code()


async def test_or_is_listed_where_the_migration_says_so(changing: Callable[[str, str], Any]) -> None:
    change = changing(
        SETUP, (NARROW % ", on_unmappable: record").replace("name, type: int", "name, nullable: true, type: int")
    )
    await change.begin()
    await change.up_to_code()
    assert [(each.key, each.side) for each in await unmappable(change.url, "0002_change")] == [(("30",), "old")]
    assert change.rows(change.new_url, "SELECT name FROM people WHERE id IN (29, 30) ORDER BY id") == [(14,), (None,)]
    change.rows(change.old_url, "UPDATE people SET id = 20030 WHERE id = 30")
    change.rows(change.old_url, "UPDATE people SET name = 'abc' WHERE id = 20030")
    assert await unmappable(change.url, "0002_change") == []
    await change.back()


async def test_a_row_that_the_new_version_wrote_stays_listed_as_its_own_whatever_the_old_one_does_to_it(
    changing: Callable[[str, str], Any],
) -> None:
    change = changing(SETUP, WIDEN)
    await change.begin()
    await change.up_to_code()
    await switched(change.url, "0002_change", on=True)
    change.rows(change.new_url, "UPDATE people SET age = 5000000000 WHERE id IN (3, 4)")
    change.rows(change.old_url, "UPDATE people SET name = 'Somebody Else' WHERE id = 3")
    change.rows(change.old_url, "UPDATE people SET id = 104 WHERE id = 4")
    found = await unmappable(change.url, "0002_change")
    assert sorted((each.key, each.side, each.why[:5]) for each in found) == [
        (("104",), "new", "22003"),
        (("3",), "new", "22003"),
    ]
    with pytest.raises(Refused, match="--accept-loss 2"):
        await change.back()


SHRINK = "operations:\n  - alter_column: {table: people, column: age, type: int, up: age::int, down: age::bigint, on_unmappable: record}\n"
BIG_SETUP = SETUP.replace("age int", "age bigint")
SHRUNK = """
operations:
  - shadow_table:
      table: people
      columns: [{name: id, type: int, pk: true}, {name: name, type: text}, {name: age, type: int, nullable: true}]
      up: {age: age::int}
      down: {age: age::bigint}
      on_unmappable: record
"""


def accepting(url: str, rows: int) -> DatabaseDriver:
    """A driver to whom somebody has said how many rows of the old version a contract may lose."""

    async def accepted(run: str, side: str) -> int:
        return rows if side == "old" else 0

    return DatabaseDriver(lambda _: url, accepted=accepted)


@pytest.mark.parametrize("text", [SHRINK, SHRUNK], ids=["in place", "shadow"])
async def test_what_the_old_version_wrote_and_the_new_side_cannot_hold_is_not_given_up_unasked(
    changing: Callable[[str, str], Any], text: str
) -> None:
    change = changing(BIG_SETUP + "UPDATE people SET age = 99999999999 WHERE id = 2", text)
    await change.begin()
    await change.up_to_code()
    await switched(change.url, "0002_change", on=True)
    change.rows(change.old_url, "UPDATE people SET age = 88888888888 WHERE id = 5")
    change.rows(change.old_url, "INSERT INTO people VALUES (99, 'n', 77777777777)")
    change.rows(change.old_url, "INSERT INTO people VALUES (98, 'gone', 77777777777)")
    change.rows(change.old_url, "DELETE FROM people WHERE id = 98")
    assert [(each.key, each.side) for each in await unmappable(change.url, "0002_change")] == [
        (("2",), "old"),
        (("5",), "old"),
        (("99",), "old"),
    ]
    before = change.catalogue()
    *_, contract = change.steps.after
    for driver in (change.driver, accepting(change.url, 2)):
        with pytest.raises(Refused, match="the new side cannot hold 3 rows as the old version wrote them") as refusal:
            await driver.do(contract, MOMENT)
        assert (refusal.value.code, "contract RUN --accept-loss 3" in refusal.value.hint) == ("loss-not-accepted", True)
    assert change.catalogue() == before
    assert change.rows(change.old_url, "SELECT age FROM people WHERE id IN (2, 5, 99) ORDER BY id") == [
        (99999999999,),
        (88888888888,),
        (77777777777,),
    ]
    change.rows(change.old_url, "UPDATE people SET age = 7 WHERE id = 5")  # corrected
    await accepting(change.url, 2).do(contract, MOMENT)
    assert change.rows(change.new_url, "SELECT age FROM people WHERE id = 5") == [(7,)]


async def test_a_row_of_which_both_versions_wrote_what_the_other_cannot_hold_is_lost_either_way(
    changing: Callable[[str, str], Any],
) -> None:
    grow = "  - alter_column: {table: people, column: size, type: bigint, up: size::bigint, down: size::int}\n"
    change = changing(BIG_SETUP.replace("age bigint", "age bigint, size int"), SHRINK + grow)
    await change.begin()
    await change.up_to_code()
    await switched(change.url, "0002_change", on=True)
    change.rows(change.old_url, "UPDATE people SET age = 88888888888 WHERE id = 5")
    change.rows(change.new_url, "UPDATE people SET size = 88888888888 WHERE id = 5")
    assert sorted(each.side for each in await unmappable(change.url, "0002_change")) == ["new", "old"]
    for leave in (change.back, change.contract):
        with pytest.raises(Refused, match="--accept-loss 1"):
            await leave()


TIGHT = [
    ("name text NOT NULL", "{table: t, column: name, type: varchar(20), up: name, down: name}", "repeat('x', 30)", ""),
    ("name bigint NOT NULL", "{table: t, column: name, type: int, up: 'name::int', down: name}", "6000000000", 0),
    (
        "name text NOT NULL DEFAULT 'none'",
        "{table: t, column: name, type: varchar(9), up: name, down: name}",
        "repeat('x', 30)",
        "none",
    ),
    (
        "name date NOT NULL",
        "{table: t, column: name, type: int, up: '1 / (name - now()::date)', down: now()::date}",
        "now()::date",
        0,
    ),
]


@pytest.mark.parametrize(("column", "text", "value", "empty"), TIGHT, ids=["text", "int", "default", "mapping"])
async def test_an_old_version_may_insert_what_a_new_column_that_forbids_null_cannot_hold(
    changing: Callable[[str, str], Any], column: str, text: str, value: str, empty: object
) -> None:
    change = changing(f"CREATE TABLE t (id int PRIMARY KEY, {column})", f"operations:\n  - alter_column: {text}\n")
    await change.begin()
    await change.up_to_code()
    with pytest.raises(psycopg.Error):
        change.rows(change.old_url, f"INSERT INTO t VALUES (1, {value})")
    await switched(change.url, "0002_change", on=True)
    change.rows(change.old_url, f"INSERT INTO t VALUES (1, {value})")
    assert change.rows(change.new_url, "SELECT name FROM t") == [(empty,)]
    assert change.rows(change.old_url, f"SELECT count(*) FROM t WHERE name = {value}") == [(1,)]
    assert [(each.key, each.side) for each in await unmappable(change.url, "0002_change")] == [(("1",), "old")]
    await change.verify()
    with pytest.raises(Refused, match="--accept-loss 1"):
        await change.contract()


TWO = """
operations:
  - alter_column: {table: people, column: name, type: int, up: 'length(name) / (30 - id)', down: name::text%s}
  - alter_column: {table: people, column: age, type: int, up: age::int, down: age::bigint%s}
"""
RECORD = ", on_unmappable: record"


async def test_the_backfill_lists_a_row_where_the_operation_says_so_and_fills_the_rest_of_it(
    changing: Callable[[str, str], Any],
) -> None:
    change = changing(BIG_SETUP + "UPDATE people SET age = 99999999999 WHERE id = 2", TWO % ("", RECORD))
    await change.begin()
    with pytest.raises(HitlessError, match=r"people 30 does not fit the new version: 22012"):
        await change.up_to_code()
    change.rows(change.old_url, "DELETE FROM people WHERE id = 30")
    await change.up_to_code()
    (listed,) = await unmappable(change.url, "0002_change")
    assert (listed.key, listed.side, listed.why[:5]) == (("2",), "old", "22003")
    assert change.rows(change.new_url, "SELECT name, age FROM people WHERE id = 2") == [(0, None)]
    await change.verify()
    with pytest.raises(psycopg.errors.DivisionByZero):
        change.rows(change.old_url, "INSERT INTO people VALUES (30, 'n', 1)")  # that one is refused until the switch
    await change.back()


async def test_the_backfill_lists_a_row_with_an_empty_value_where_the_new_side_forbids_null(
    changing: Callable[[str, str], Any],
) -> None:
    change = changing(BIG_SETUP + "UPDATE people SET age = 99999999999 WHERE id = 2", TWO % (RECORD, RECORD))
    await change.begin()
    await change.up_to_code()
    assert [each.key for each in await unmappable(change.url, "0002_change")] == [("2",), ("30",)]
    assert change.rows(change.new_url, "SELECT name, age FROM people WHERE id IN (2, 30) ORDER BY id") == [
        (0, None),
        (0, 30),
    ]
    with pytest.raises(Refused, match="--accept-loss 2"):
        await change.contract()


@pytest.mark.parametrize("table", ["people", "_hitless_people"])
async def test_a_shadow_table_that_is_emptied_has_no_row_left_to_lose(
    changing: Callable[[str, str], Any], table: str
) -> None:
    change = changing(SETUP, SHADOW)
    await change.begin()
    await change.up_to_code()
    await switched(change.url, "0002_change", on=True)
    change.rows(change.new_url, "UPDATE people SET age = 5000000000 WHERE id = 3")
    assert len(await unmappable(change.url, "0002_change")) == 1
    change.rows(change.url, f"TRUNCATE {table}")
    assert await unmappable(change.url, "0002_change") == []
    await change.back()


GROWN_SETUP = """
CREATE TABLE people (key serial PRIMARY KEY, id int, name text NOT NULL, age int);
INSERT INTO people (id, name, age) SELECT g, 'First' || g, g FROM generate_series(1, 30) g;
"""


@pytest.mark.parametrize(
    "operation",
    [
        (
            "alter_column: {table: people, column: age, type: bigint, check: {name: grown, constraint: age > 0}, "
            "up: age, down: age}"
        ),
        (
            "create_constraint: {type: check, table: people, name: grown, columns: [age, id], check: age > id - id, "
            "up: {age: age + 0, id: id}, down: {age: age, id: id}}"
        ),
    ],
    ids=["of a column", "of several"],
)
async def test_what_a_new_check_forbids_is_refused_before_the_switch_and_listed_after_it(
    changing: Callable[[str, str], Any], operation: str
) -> None:
    change = changing(GROWN_SETUP, f"operations:\n  - {operation}\n")
    await change.begin()
    await change.up_to_code()
    with pytest.raises(psycopg.errors.CheckViolation):
        change.rows(change.old_url, "UPDATE people SET age = -3 WHERE key = 3")
    await switched(change.url, "0002_change", on=True)
    change.rows(change.old_url, "UPDATE people SET age = -3 WHERE key = 3")
    change.rows(change.old_url, "INSERT INTO people (id, name, age) VALUES (50, 'n', -6)")
    assert change.rows(change.old_url, "SELECT age FROM people WHERE age < 0 ORDER BY key") == [(-3,), (-6,)]
    assert change.rows(change.new_url, "SELECT key, age FROM people WHERE key IN (3, 31) ORDER BY key") == [
        (3, 3),  # as it was
        (31, None),
    ]
    assert [(each.key, each.side) for each in await unmappable(change.url, "0002_change")] == [
        (("3",), "old"),
        (("31",), "old"),
    ]
    await change.verify()  # listed rows are known: nothing else differs
    with pytest.raises(psycopg.errors.CheckViolation):  # its own rule is not for the new version to break
        change.rows(change.new_url, "UPDATE people SET age = -3 WHERE key = 4")
    change.rows(change.old_url, "UPDATE people SET age = 8 WHERE key = 3")
    change.rows(change.old_url, "DELETE FROM people WHERE key = 31")
    assert await unmappable(change.url, "0002_change") == []
    await change.back()
