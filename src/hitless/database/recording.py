"""What the backfill does with a row that the new side cannot hold: which mapping is to blame, and what is listed."""

# ruff: noqa: S608  every name that is put in is quoted; expressions are the user's own SQL

import psycopg
from psycopg import Rollback

from hitless.database.names import MARK, quoted
from hitless.database.pieces import Fill
from hitless.database.postgres import Target
from hitless.database.ranges import row
from hitless.database.sync import Sync, direct, groups

UNHELD = (psycopg.errors.DataError, psycopg.errors.IntegrityError, psycopg.errors.RaiseException)
LIST = (
    "INSERT INTO hitless.unmappable (version, base, key, side, why) VALUES (%s, %s, %s, 'old', %s) "
    "ON CONFLICT DO NOTHING RETURNING 1"
)
Blamed = tuple[Fill, str]  # a mapping, and what the server said of it


def said_of(error: psycopg.Error) -> str:
    """Write what the server said, with its code."""
    return f"{error.sqlstate}: {error.diag.message_primary or error}"


async def blamed(target: Target, sync: Sync, key: list[str]) -> list[Blamed]:
    """Return the mappings that fail for a row, tried one by one; nothing stays of that."""
    found: list[Blamed] = []
    for fill in sync.ups:
        others = [each for each in sync.ups if each is not fill]
        try:
            async with target.transaction():
                await target.run("SET LOCAL hitless.sync = 'off'")
                await target.rows(_update(sync, key, [fill], others))
                raise Rollback
        except UNHELD as error:
            found.append((fill, said_of(error)))
    return found


async def fill_the_rest(target: Target, version: str, sync: Sync, key: list[str], found: list[Blamed]) -> None:
    """Fill what the row allows in a transaction of the caller's; list it, and mark what stays behind."""
    lost, left = 0, []
    for number, group in enumerate(groups(sync)):
        if any(fill is each for fill, _ in found for each in group):
            lost |= 2 << (2 * number)
            left += [each for each in group if each.upward]
    kept = [each for each in sync.ups if not any(each is other for other in left)]
    await target.run("SET LOCAL hitless.sync = 'off'")
    if await target.rows(_update(sync, key, kept, left, lost)) and lost:
        await target.rows(LIST, version, sync.table, key, "; ".join(dict.fromkeys(said for _, said in found)))


def _update(sync: Sync, key: list[str], kept: list[Fill], left: list[Fill], lost: int = 0) -> str:
    sets = [f"{quoted(each.column)} = {direct(sync, each)}" for each in kept]
    sets += [f"{quoted(each.column)} = {sync.fillers.get(each.column, 'NULL')}" for each in left]
    names = ", ".join(quoted(each) for each in sync.key)
    return (
        f"UPDATE {quoted(sync.table)} AS _hl SET {', '.join(sets)}, {quoted(MARK)} = {lost} "
        f"WHERE {quoted(MARK)} IS NULL AND ({names}) = {row(key)} RETURNING 1"
    )
