"""Verification that goes on from the switch to contract: some ranges at a time, again and again.

Where it has come to and what differs lies in the target database, written together after each range: a kill costs the
range that was being compared. Ranges in which rows differed are looked at again each time, so that what was mended is
off the list at once, and not only when its turn comes again.
"""

import time
from dataclasses import dataclass

from hitless.database.comparing import Difference
from hitless.database.compiled import Compiled
from hitless.database.postgres import Target
from hitless.database.ranges import Bound
from hitless.database.verifying import Part, compare, next_bound, parts, pin, table_of

RANGE_ROWS = 10_000  # about 30 ms
KEPT = 100  # rows that differ, of one change
_MINE = "space = current_schema() AND version = %s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rolled:
    """How far it has come since the switch."""

    rows: int  # compared in all
    sweeps: int  # how often every row was
    differences: tuple[Difference, ...]  # as they were at the last look


async def roll(target: Target, compiled: Compiled, budget_s: float) -> None:
    """Compare ranges for about `budget_s` seconds, at least one and none twice, from where the last call stopped."""
    until = time.monotonic() + budget_s
    await look_again(target, compiled)
    walk = parts(compiled)
    at, last = await _place(target, compiled.version, walk)
    over = not walk
    while not over:
        part = walk[at]
        bound, rows = await next_bound(target, part, last, RANGE_ROWS)
        found = await compare(target, compiled.version, part, last, bound)
        at = at if bound else (at + 1) % len(walk)
        swept = bound is None and at == 0
        async with target.transaction():
            if not await _open(target, compiled.version):
                return
            await _list(target, compiled.version, table_of(part), last, bound, found)
            await _move(target, compiled.version, [table_of(walk[at]), *(bound or ())], rows, swept=swept)
        last = bound
        over = swept or time.monotonic() > until


async def look_again(target: Target, compiled: Compiled) -> None:
    """Compare the ranges in which rows differed; at most 100."""
    await pin(target, compiled)
    by_table = {table_of(each): each for each in parts(compiled)}
    for row in await target.rows(
        f"SELECT DISTINCT base, last, bound FROM hitless.difference WHERE {_MINE}",  # noqa: S608
        compiled.version,
    ):
        part = by_table.get(row["base"])
        found = await compare(target, compiled.version, part, row["last"], row["bound"]) if part is not None else []
        async with target.transaction():
            if await _open(target, compiled.version):
                await _list(target, compiled.version, row["base"], row["last"], row["bound"], found)


async def rolled(target: Target, version: str) -> Rolled:
    """Return how far it has come."""
    at = await target.rows(f"SELECT rows, sweeps FROM hitless.rolling WHERE {_MINE}", version)  # noqa: S608
    rows = await target.rows(
        f"SELECT base, key, said FROM hitless.difference WHERE {_MINE} ORDER BY base, key",  # noqa: S608
        version,
    )
    return Rolled(
        rows=int(at[0]["rows"]) if at else 0,
        sweeps=int(at[0]["sweeps"]) if at else 0,
        differences=tuple(Difference(table=row["base"], key=tuple(row["key"]), said=row["said"]) for row in rows),
    )


async def _open(target: Target, version: str) -> bool:
    """Tell whether the change is still to be contracted, and keep it so for the rest of the transaction."""
    sql = f"SELECT 1 FROM hitless.schema_change WHERE {_MINE} AND state = 'verified' FOR SHARE"  # noqa: S608
    return bool(await target.rows(sql, version))


async def _place(target: Target, version: str, walk: list[Part]) -> tuple[int, Bound]:
    """Return which part is next, and the key behind which to go on."""
    found = await target.rows(f"SELECT place FROM hitless.rolling WHERE {_MINE}", version)  # noqa: S608
    table, *key = found[0]["place"] if found else ("",)
    names = [table_of(each) for each in walk]
    return (names.index(table), key or None) if table in names else (0, None)


async def _move(target: Target, version: str, place: list[str], rows: int, *, swept: bool) -> None:
    await target.rows(
        "INSERT INTO hitless.rolling AS r (version, place, rows, sweeps) VALUES (%s, %s, %s, %s) "
        "ON CONFLICT (space, version) DO UPDATE SET place = excluded.place, rows = r.rows + excluded.rows, "
        "sweeps = r.sweeps + excluded.sweeps RETURNING 1",
        *(version, place, rows, int(swept)),
    )


async def _list(target: Target, version: str, table: str, last: Bound, bound: Bound, found: list[Difference]) -> None:
    """Put what differs in a range in the place of what did when it was last compared."""
    await target.rows(
        f"DELETE FROM hitless.difference WHERE {_MINE} AND base = %s "  # noqa: S608
        "AND last IS NOT DISTINCT FROM %s::text[] AND bound IS NOT DISTINCT FROM %s::text[] RETURNING 1",
        *(version, table, last, bound),
    )
    for each in found:
        await target.rows(
            "INSERT INTO hitless.difference (version, base, key, said, last, bound) "  # noqa: S608
            f"SELECT %s, %s, %s, %s, %s, %s WHERE (SELECT count(*) FROM hitless.difference WHERE {_MINE}) < %s "
            "ON CONFLICT (space, version, base, key) DO UPDATE SET said = excluded.said, last = excluded.last, "
            "bound = excluded.bound RETURNING 1",
            *(version, table, list(each.key), each.said, last, bound, version, KEPT),
        )
