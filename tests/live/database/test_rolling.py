"""From the switch to contract rows are compared again and again: in bounded rounds, on from where a kill left off."""

import asyncio
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from tests.live.database.conftest import MOMENT

from hitless.database.comparing import Differing
from hitless.database.driver import rolled_so_far, rolling, still_differing, switched
from hitless.kit.errors import HitlessError

pytestmark = pytest.mark.live
VERSION = "0002_change"
SETUP = """
CREATE TABLE people (id int PRIMARY KEY, name text);
INSERT INTO people SELECT g, 'n' || g FROM generate_series(1, 100) g;
CREATE TABLE cities (id int PRIMARY KEY, name text);
INSERT INTO cities SELECT g, 'c' || g FROM generate_series(1, 30) g;
"""
LOUD = """
operations:
  - add_column: {table: people, up: upper(name), column: {name: loud, type: text, nullable: true}}
  - shadow_table:
      table: cities
      columns: [{name: id, type: bigint, pk: true}, {name: name, type: text, nullable: true}]
      up: {}
      down: {}
"""


@pytest.fixture
async def switched_over(changing: Callable[[str, str], Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """A change of two tables that code speaks already; ranges are small."""
    monkeypatch.setattr("hitless.database.rolling.RANGE_ROWS", 40)
    change = changing(SETUP, LOUD)
    await change.begin()
    await change.up_to_code()
    assert await rolling(change.url, VERSION) is None  # nothing is switched yet
    await switched(change.url, VERSION, on=True)
    return change


def secretly(change: Any, sql: str) -> None:
    """Write past the triggers."""
    with psycopg.connect(change.url) as connection:
        connection.execute("SET hitless.sync = 'off'")
        connection.execute(sql.encode())


async def one_range(change: Any) -> tuple[int, int, list[tuple[str, ...]]]:
    found = await rolling(change.url, VERSION, budget_s=0.0)
    assert found is not None
    return found.rows, found.sweeps, [(each.table, *each.key) for each in found.differing.listed]


async def test_a_round_goes_on_where_the_last_one_stopped_and_what_differs_is_listed_with_both_values(
    switched_over: Any,
) -> None:
    change = switched_over
    secretly(change, "UPDATE people SET loud = 'wrong' WHERE id = 77")
    secretly(change, "UPDATE _hitless_cities SET name = 'Atlantis' WHERE id = 7")
    person, city = ("people", "77"), ("cities", "7")
    assert [await one_range(change) for _ in range(6)] == [
        (40, 0, []),
        (80, 0, [person]),
        (100, 0, [person]),
        (100, 0, [person]),  # behind the last row
        (130, 0, [city, person]),
        (130, 1, [city, person]),  # every row was compared
    ]
    found = await rolled_so_far(change.url, VERSION)
    assert [each.said for each in found.differing.listed] == [
        "name is 'Atlantis', should be 'c7'",
        "loud is 'wrong', should be 'N77'",
    ]


async def test_what_was_mended_is_off_the_list_at_the_next_look_and_contract_ends_it(switched_over: Any) -> None:
    change = switched_over
    secretly(change, "UPDATE people SET loud = 'wrong' WHERE id IN (5, 77)")
    whole = await rolling(change.url, VERSION, budget_s=60.0)  # never more than every row once
    assert whole is not None
    assert (whole.rows, whole.sweeps) == (130, 1)
    change.rows(change.old_url, "UPDATE people SET name = 'mended' WHERE id = 77")
    assert [each.key for each in (await still_differing(change.url, VERSION)).listed] == [("5",)]
    secretly(change, "UPDATE people SET loud = upper(name)")
    assert await still_differing(change.url, VERSION) == Differing()
    await change.contract()
    assert await rolling(change.url, VERSION) is None
    assert change.rows(change.url, "SELECT count(*) FROM hitless.rolling") == [(0,)]


async def test_a_connection_that_is_cut_costs_the_range_that_was_being_compared(switched_over: Any) -> None:
    change = switched_over
    secretly(change, "UPDATE people SET loud = 'wrong' WHERE id = 5")
    before = await one_range(change)
    with psycopg.connect(change.url, autocommit=True) as other:
        other.execute("BEGIN")
        other.execute("LOCK TABLE people IN ACCESS EXCLUSIVE MODE")  # the next range waits, and its connection is cut
        with psycopg.connect(change.url, autocommit=True) as killer, pytest.raises(HitlessError) as failure:
            await cut_while_waiting(change, killer)
    assert failure.value.code == "database-down"
    assert await one_range(change) == (before[0] + 40, 0, before[2])


async def cut_while_waiting(change: Any, killer: psycopg.Connection) -> None:
    """Begin a round, and end its session once it waits for a lock."""
    work = asyncio.ensure_future(one_range(change))
    while not work.done():
        await asyncio.sleep(0.02)
        killer.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'hitless' AND wait_event_type = 'Lock'"
        )
    await work


async def test_the_list_has_an_end(switched_over: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hitless.database.differences.KEPT", 25)
    secretly(switched_over, "UPDATE people SET loud = 'wrong'")
    found = await rolling(switched_over.url, VERSION, budget_s=60.0)
    assert found is not None
    assert len(found.differing.listed) == 25
    assert (found.differing.total, found.differing.at_least) == (80, True)  # of the two ranges that are listed


async def test_rows_are_counted_truly_where_a_range_has_more_than_are_listed(switched_over: Any) -> None:
    secretly(switched_over, "UPDATE people SET loud = 'wrong' WHERE id <= 35 OR id > 95")
    secretly(switched_over, "UPDATE _hitless_cities SET name = 'Atlantis' WHERE id <= 25")
    found = await rolling(switched_over.url, VERSION, budget_s=60.0)
    assert found is not None
    assert [each.table for each in found.differing.listed] == ["cities"] * 20 + ["people"] * 25
    assert (found.differing.total, found.differing.at_least) == (25 + 40, True)
    secretly(switched_over, "UPDATE people SET loud = upper(name) WHERE id > 20")
    secretly(switched_over, "UPDATE _hitless_cities c SET name = o.name FROM cities o WHERE o.id = c.id")
    differing = await still_differing(switched_over.url, VERSION, budget_s=60.0)
    assert (len(differing.listed), differing.total, differing.at_least) == (20, 20, False)


async def test_a_look_at_rows_that_differ_has_an_end_and_the_next_one_goes_on(switched_over: Any) -> None:
    change = switched_over
    secretly(change, "UPDATE people SET loud = 'wrong' WHERE id IN (5, 45, 95)")
    await rolling(change.url, VERSION, budget_s=60.0)
    secretly(change, "UPDATE people SET loud = upper(name)")
    left = [len((await still_differing(change.url, VERSION, budget_s=0.0)).listed) for _ in range(4)]
    assert sorted(left, reverse=True) == left  # at least one range each time, none twice before the others
    assert left[2:] == [0, 0]


async def test_a_look_does_not_wait_for_a_table_that_somebody_has(switched_over: Any) -> None:
    change = switched_over
    secretly(change, "UPDATE people SET loud = 'wrong' WHERE id = 5")
    secretly(change, "UPDATE _hitless_cities SET name = 'Atlantis' WHERE id = 7")
    await rolling(change.url, VERSION, budget_s=60.0)
    secretly(change, "UPDATE people SET loud = upper(name)")
    secretly(change, "UPDATE _hitless_cities SET name = 'c7' WHERE id = 7")
    with psycopg.connect(change.url) as other:
        other.execute("LOCK TABLE people IN ACCESS EXCLUSIVE MODE")
        found = [await still_differing(change.url, VERSION) for _ in range(2)]
    assert [each.key for each in found[-1].listed] == [("5",)]  # as it was at its last look
    assert (await still_differing(change.url, VERSION)).listed == ()


async def test_what_differs_before_the_switch_can_be_seen_after_the_change_was_taken_back(
    changing: Callable[[str, str], Any],
) -> None:
    change = changing(SETUP, LOUD)
    await change.begin()
    for step in change.steps.before[:2]:
        await change.driver.do(step, MOMENT)
    secretly(change, "UPDATE people SET loud = 'wrong' WHERE id = 77")
    with pytest.raises(HitlessError, match="at least at key 77") as failure:
        await change.driver.do(change.steps.before[2], MOMENT)
    assert "wrong" not in f"{failure.value}"  # it goes into the journal
    await change.back()
    found = (await rolled_so_far(change.url, VERSION)).differing
    assert [each.said for each in found.listed] == ["loud is 'wrong', should be 'N77'"]
    await change.up_to_code()
    assert (await rolled_so_far(change.url, VERSION)).differing == Differing()
