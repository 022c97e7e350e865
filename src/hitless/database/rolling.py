"""Verification that goes on from the switch to contract: some ranges at a time, again and again.

Where it has come to and what differs lies in the target database, written together after each range: a kill costs the
range that was being compared. Ranges in which rows differed are looked at again each time, for half of the round at
most and the one that has waited longest first, so that what was mended is off the list soon, and not only when its
turn comes again.
"""

import asyncio
import time
from dataclasses import dataclass, field

import psycopg

from hitless.database import differences
from hitless.database.comparing import Differing
from hitless.database.compiled import Compiled
from hitless.database.connecting import Row
from hitless.database.postgres import Target
from hitless.database.ranges import Bound
from hitless.database.verifying import Part, compare, next_bound, parts, pin, table_of

RANGE_ROWS = 2_500  # about 7 ms; then a rest as long
RANGE_MS, RANGE_LOCK_MS = 1000, 200  # for looking again at one
_MINE = "space = current_schema() AND version = %s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rolled:
    """How far it has come since the switch."""

    rows: int  # compared in all
    sweeps: int  # how often every row was
    differing: Differing = field(default_factory=Differing)  # as they were at the last look


async def roll(target: Target, compiled: Compiled, budget_s: float) -> None:
    """Compare ranges for about `budget_s` seconds, at least one and none twice, from where the last call stopped."""
    until = time.monotonic() + budget_s
    await look_again(target, compiled, budget_s / 2)
    walk = parts(compiled)
    at, last, sweep = await _place(target, compiled.version, walk)
    over = not walk
    while not over:
        part, began = walk[at], time.monotonic()
        bound, rows = await next_bound(target, part, last, RANGE_ROWS)
        found = await compare(target, compiled.version, part, last, bound)
        at = at if bound else (at + 1) % len(walk)
        swept = bound is None and at == 0
        async with target.transaction():
            if not await _open(target, compiled.version):
                return
            await differences.keep(target, compiled.version, table_of(part), last, bound, found, sweep)
            await _move(target, compiled.version, [table_of(walk[at]), *(bound or ())], rows, swept=swept)
        last = bound
        over = swept or time.monotonic() > until
        await asyncio.sleep(time.monotonic() - began)


async def look_again(target: Target, compiled: Compiled, budget_s: float) -> None:
    """Compare ranges in which rows differed for about `budget_s` seconds, at least one; the others keep their turn."""
    until = time.monotonic() + budget_s
    await pin(target, compiled)
    by_table = {table_of(each): each for each in parts(compiled)}
    for row in await differences.ranges(target, compiled.version):
        await _look(target, compiled.version, by_table[row["base"]], row)
        if time.monotonic() > until:
            return


async def _look(target: Target, version: str, part: Part, row: Row) -> None:
    """Compare one range again; where that takes too long, or somebody has the table, it keeps what is listed."""
    try:
        async with target.transaction():
            await target.rows("SELECT set_config('statement_timeout', %s, true)", f"{RANGE_MS}ms")
            await target.rows("SELECT set_config('lock_timeout', %s, true)", f"{RANGE_LOCK_MS}ms")
            found = await compare(target, version, part, row["last"], row["bound"])
    except (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable):
        await differences.postpone(target, version, row)
        return
    async with target.transaction():
        if await _open(target, version):
            await differences.keep(target, version, row["base"], row["last"], row["bound"], found, row["sweep"])


async def rolled(target: Target, version: str) -> Rolled:
    """Return how far it has come."""
    at = await target.rows(f"SELECT rows, sweeps FROM hitless.rolling WHERE {_MINE}", version)  # noqa: S608
    return Rolled(
        rows=int(at[0]["rows"]) if at else 0,
        sweeps=int(at[0]["sweeps"]) if at else 0,
        differing=await differences.differing(target, version),
    )


async def _open(target: Target, version: str) -> bool:
    """Tell whether the change is still to be contracted, and keep it so for the rest of the transaction."""
    sql = f"SELECT 1 FROM hitless.schema_change WHERE {_MINE} AND state = 'verified' FOR SHARE"  # noqa: S608
    return bool(await target.rows(sql, version))


async def _place(target: Target, version: str, walk: list[Part]) -> tuple[int, Bound, int]:
    """Return which part is next, the key behind which to go on, and the number of the sweep."""
    found = await target.rows(f"SELECT place, sweeps FROM hitless.rolling WHERE {_MINE}", version)  # noqa: S608
    table, *key = found[0]["place"] if found else ("",)
    sweep = int(found[0]["sweeps"]) if found else 0
    names = [table_of(each) for each in walk]
    return (names.index(table), key or None, sweep) if table in names else (0, None, sweep)


async def _move(target: Target, version: str, place: list[str], rows: int, *, swept: bool) -> None:
    await target.rows(
        "INSERT INTO hitless.rolling AS r (version, place, rows, sweeps) VALUES (%s, %s, %s, %s) "
        "ON CONFLICT (space, version) DO UPDATE SET place = excluded.place, rows = r.rows + excluded.rows, "
        "sweeps = r.sweeps + excluded.sweeps RETURNING 1",
        *(version, place, rows, int(swept)),
    )
