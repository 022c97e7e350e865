"""A key that the old side cannot hold: the write succeeds, the row is listed, contract goes on, and going back says a number."""

from collections.abc import Callable
from typing import Any

import pytest

from hitless.database.driver import switched, unmappable
from hitless.database.steps import Withdraw
from hitless.kit.errors import Refused
from hitless.plan.ports import Moment

pytestmark = pytest.mark.live

SETUP = """
CREATE TABLE people (id int PRIMARY KEY, name text NOT NULL, age int);
INSERT INTO people SELECT g, 'n' || g, g FROM generate_series(1, 5) g;
"""
SHADOW = """
operations:
  - shadow_table:
      table: people
      columns: [{name: id, type: bigint, pk: true}, {name: name, type: text}, {name: age, type: bigint, nullable: true}]
"""
PAIRS = """
CREATE TABLE people (shop int, id int, name text NOT NULL, age int, PRIMARY KEY (shop, id));
INSERT INTO people SELECT 7, g, 'n' || g, g FROM generate_series(1, 5) g;
"""
PAIRED = SHADOW.replace(
    "columns: [{name: id, type: bigint, pk: true}",
    "columns: [{name: shop, type: int, pk: true}, {name: id, type: bigint, pk: true}",
)
BIG = 9_000_000_000


async def note(_: dict[str, object]) -> None:
    """Progress."""


MOMENT = Moment(run="r1", position=0, started_at=0.0, note=note)


async def on_new_code(changing: Callable[[str, str], Any], setup: str = SETUP, text: str = SHADOW) -> Any:
    change = changing(setup, text)
    await change.begin()
    await change.up_to_code()
    await switched(change.url, "0002_change", on=True)
    return change


async def listed(change: Any) -> list[tuple[tuple[str, ...], str]]:
    return [(each.key, each.side) for each in await unmappable(change.url, "0002_change")]


def of(change: Any, url: str, key: int) -> list[tuple[Any, ...]]:
    return list(change.rows(url, f"SELECT name, age FROM people WHERE id = {key}"))


@pytest.mark.parametrize(("setup", "text", "key"), [(SETUP, SHADOW, ()), (PAIRS, PAIRED, ("7",))], ids=["one", "two"])
async def test_a_key_too_large_for_the_old_side_is_listed_and_contract_goes_on(
    changing: Callable[[str, str], Any], setup: str, text: str, key: tuple[str, ...]
) -> None:
    change = await on_new_code(changing, setup, text)
    change.rows(change.new_url, f"UPDATE people SET id = {BIG}, age = 33 WHERE id = 3")
    change.rows(change.new_url, f"INSERT INTO people SELECT {'7,' if key else ''} {BIG + 1}, 'more', 1")
    assert await listed(change) == [((*key, str(BIG)), "new"), ((*key, str(BIG + 1)), "new")]
    assert of(change, change.old_url, 3) == [("n3", 3)]  # as it was
    change.rows(change.new_url, f"UPDATE people SET name = 'still' WHERE id = {BIG}")
    change.rows(change.new_url, f"UPDATE people SET id = id + 10 WHERE id = {BIG}")
    assert (await listed(change))[-1][0][-1] == str(BIG + 10)
    await change.verify()
    with pytest.raises(Refused, match="--accept-loss 2"):
        await change.driver.do(Withdraw(database="main", version="0002_change"), MOMENT)
    await change.contract()
    assert of(change, change.url, BIG + 10) == [("still", 33)]
    assert change.rows(change.url, "SELECT count(*) FROM people") == [(6,)]


async def test_whoever_goes_back_all_the_same_finds_the_row_under_its_old_key(
    changing: Callable[[str, str], Any],
) -> None:
    change = await on_new_code(changing)
    change.rows(change.new_url, f"UPDATE people SET id = {BIG} WHERE id = 3")
    await change.driver.do(Withdraw(database="main", version="0002_change", accept_loss=1), MOMENT)
    assert change.rows(change.url, "SELECT id FROM people ORDER BY id") == [(each,) for each in range(1, 6)]


async def test_a_row_whose_key_fits_again_is_in_step_with_all_that_was_written_meanwhile(
    changing: Callable[[str, str], Any],
) -> None:
    change = await on_new_code(changing)
    change.rows(change.new_url, f"UPDATE people SET id = {BIG} WHERE id = 3")
    change.rows(change.new_url, f"UPDATE people SET name = 'while away', age = 44 WHERE id = {BIG}")
    change.rows(change.new_url, f"UPDATE people SET id = 77 WHERE id = {BIG}")
    assert await listed(change) == []
    assert (of(change, change.old_url, 77), of(change, change.old_url, 3)) == ([("while away", 44)], [])
    await change.verify()
    await change.back()
    assert change.rows(change.url, "SELECT count(*) FROM people") == [(5,)]


async def test_a_row_with_such_a_key_that_either_version_deletes_is_gone_on_both_sides(
    changing: Callable[[str, str], Any],
) -> None:
    change = await on_new_code(changing)
    change.rows(change.new_url, f"UPDATE people SET id = id + {BIG} WHERE id IN (3, 4)")
    change.rows(change.new_url, f"DELETE FROM people WHERE id = {BIG + 3}")
    change.rows(change.old_url, "DELETE FROM people WHERE id = 4")
    assert await listed(change) == []
    for url in (change.old_url, change.new_url):
        assert change.rows(url, "SELECT id FROM people ORDER BY id") == [(1,), (2,), (5,)]
    await change.verify()


async def test_what_the_old_version_writes_to_such_a_row_reaches_it_under_its_new_key(
    changing: Callable[[str, str], Any],
) -> None:
    change = await on_new_code(changing)
    change.rows(change.new_url, f"UPDATE people SET id = id + {BIG} WHERE id IN (3, 4)")
    change.rows(change.old_url, "UPDATE people SET age = 55 WHERE id = 3")
    change.rows(change.old_url, "UPDATE people SET id = 40 WHERE id = 4")
    assert of(change, change.new_url, BIG + 3) == [("n3", 55)]
    assert of(change, change.new_url, 40) == [("n4", 4)]
    assert await listed(change) == [((str(BIG + 3),), "new")]
    await change.verify()
    assert change.rows(change.new_url, "SELECT count(*) FROM people") == [(5,)]


@pytest.mark.parametrize("who", ["old", "new"])
async def test_a_listed_row_stays_listed_until_what_cannot_be_held_fits(
    changing: Callable[[str, str], Any], who: str
) -> None:
    change = await on_new_code(changing)
    change.rows(change.new_url, "UPDATE people SET age = 5000000000, name = 'both' WHERE id = 2")
    change.rows(change.old_url if who == "old" else change.new_url, "UPDATE people SET name = 'another' WHERE id = 2")
    assert await listed(change) == [(("2",), "new")]
    await change.verify()
    change.rows(change.new_url, "UPDATE people SET age = 6 WHERE id = 2")
    assert await listed(change) == []
    assert of(change, change.old_url, 2) == of(change, change.new_url, 2) == [("another", 6)]
    await change.verify()


async def test_what_the_new_side_cannot_hold_stays_listed_until_it_fits(changing: Callable[[str, str], Any]) -> None:
    text = SHADOW.replace("name: age, type: bigint, nullable: true", "name: age, type: bigint")
    change = await on_new_code(changing, SETUP, text)
    change.rows(change.old_url, "UPDATE people SET id = 30, age = NULL, name = 'one' WHERE id = 3")
    change.rows(change.old_url, "UPDATE people SET name = 'two' WHERE id = 30")
    assert await listed(change) == [(("30",), "old")]
    await change.verify()
    change.rows(change.old_url, "UPDATE people SET age = 8 WHERE id = 30")
    assert await listed(change) == []
    assert of(change, change.new_url, 30) == [("two", 8)]
    assert change.rows(change.new_url, "SELECT count(*) FROM people") == [(5,)]
    await change.verify()


async def test_a_row_that_has_such_a_key_before_the_backfill_comes_to_it_is_not_copied_again(
    changing: Callable[[str, str], Any],
) -> None:
    change = changing(SETUP, SHADOW + "      on_unmappable: record\n")
    await change.begin()
    expand, backfill, *_ = change.steps.before
    await change.driver.do(expand, MOMENT)
    change.rows(change.old_url, "UPDATE people SET age = 5 WHERE id = 3")  # puts it on the new side
    change.rows(change.new_url, f"UPDATE people SET id = {BIG} WHERE id = 3")
    await change.driver.do(backfill, MOMENT)
    assert change.rows(change.new_url, "SELECT id FROM people ORDER BY id") == [(1,), (2,), (4,), (5,), (BIG,)]
    await change.verify()


SUMS = """
CREATE TABLE sums (id int PRIMARY KEY, total int NOT NULL);
INSERT INTO sums SELECT g, g FROM generate_series(1, 4) g;
"""
PARTS = """
operations:
  - shadow_table:
      table: sums
      rows: many
      split_by: unnest(ARRAY[total])
      columns: [{name: sum, type: bigint, pk: true}, {name: place, type: bigint, pk: true}, {name: amount, type: bigint}]
      up: {sum: id, place: place, amount: part}
      down: {id: sum, total: sum(amount)}
"""


async def test_of_several_rows_that_the_old_side_cannot_hold_one_may_go(changing: Callable[[str, str], Any]) -> None:
    change = await on_new_code(changing, SUMS, PARTS)
    change.rows(change.new_url, "INSERT INTO sums VALUES (2, 2, 3000000000), (2, 3, 1000000000)")
    change.rows(change.new_url, "DELETE FROM sums WHERE sum = 2 AND place = 3")
    assert await listed(change) == [(("2",), "new")]
    await change.verify()
    change.rows(change.new_url, "DELETE FROM sums WHERE sum = 2 AND place = 2")
    assert await listed(change) == []
    assert change.rows(change.old_url, "SELECT total FROM sums WHERE id = 2") == [(2,)]
    await change.verify()


async def test_several_rows_may_have_a_key_that_the_old_side_cannot_hold(changing: Callable[[str, str], Any]) -> None:
    change = await on_new_code(changing, SUMS, PARTS)
    change.rows(change.new_url, "INSERT INTO sums VALUES (2, 2, 20), (3, 2, 30)")
    change.rows(change.new_url, f"UPDATE sums SET sum = sum + {BIG} WHERE sum IN (2, 3, 4)")
    change.rows(change.new_url, f"UPDATE sums SET amount = 7 WHERE sum = {BIG + 2} AND place = 1")
    assert sorted(await listed(change)) == [((str(BIG + each),), "new") for each in (2, 3, 4)]
    assert change.rows(change.old_url, "SELECT * FROM sums ORDER BY id") == [(1, 1)]
    await change.verify()
    change.rows(change.new_url, f"UPDATE sums SET sum = 77 WHERE sum = {BIG + 2}")
    change.rows(change.new_url, f"DELETE FROM sums WHERE sum = {BIG + 3}")
    assert await listed(change) == [((str(BIG + 4),), "new")]
    assert change.rows(change.old_url, "SELECT * FROM sums ORDER BY id") == [(1, 1), (77, 27)]
    await change.verify()
    await change.contract()
    assert change.rows(change.url, "SELECT sum, amount FROM sums ORDER BY 1, place") == [
        (1, 1),
        (77, 7),
        (77, 20),
        (BIG + 4, 4),
    ]
