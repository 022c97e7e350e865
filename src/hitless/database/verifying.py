"""Verification of every row by ranges of the key; whole before the switch and before contract."""

from collections.abc import Awaitable, Callable

from hitless.database import comparing, differences, ledger, mirror
from hitless.database.comparing import Compared, Difference
from hitless.database.compiled import Compiled
from hitless.database.mirror import key_text
from hitless.database.names import quoted
from hitless.database.pieces import Shadow
from hitless.database.postgres import Target
from hitless.database.ranges import Bound, bound_query, within
from hitless.database.settling import settled
from hitless.database.sync import Sync, both_values, out_of_step
from hitless.database.throttling import Pace
from hitless.plan.ports import StepFailed

RANGE_ROWS, BESIDE_OTHERS_ROWS = 50_000, 5_000  # of one range: the shorter one takes about 7 ms
LISTED = 20  # rows that differ, by key


Part = Sync | Shadow
Note = Callable[[dict[str, object]], Awaitable[None]]


def parts(compiled: Compiled) -> list[Part]:
    """Return what is compared: tables that hold both sides, and pairs of tables."""
    return [*(each for each in compiled.syncs if out_of_step(each) != "false"), *compiled.shadows]


async def verify(target: Target, compiled: Compiled, note: Note | None = None) -> None:
    """Compare every row and note how many there were. Raises StepFailed `rows-differ` with keys.

    Rows that differ are listed with both values in the database; see `differences`.
    """
    compared: dict[str, int] = {}
    await settled(target, compiled.version, compiled.shadows)
    if found := await differing(target, compiled, compared):
        table = found[0].table
        keys = ", ".join("/".join(each.key) for each in found if each.table == table)
        hint = "see both values of each: hitless show RUN; look at `up` and `down`"
        raise StepFailed("rows-differ", f"both sides of {table} differ, at least at key {keys}", hint)
    async with target.transaction():
        await ledger.set_state(target, compiled.version, "verified")
        await differences.clear(target, compiled.version)
    if note is not None:
        for name, rows in compared.items():
            await note({"table": name, "rows": rows, "compared": rows, "differing": 0})


async def differing(target: Target, compiled: Compiled, compared: dict[str, int] | None = None) -> list[Difference]:
    """Compare both sides of every row by key ranges; returns, and lists, about 20 differences for each table.

    `compared` gets by table how many rows were looked at.
    """
    found: list[Difference] = []
    pace = Pace(target)
    await pin(target, compiled)
    for part in parts(compiled):
        mine: list[Difference] = []
        last: Bound = None
        while len(mine) < LISTED:
            size = BESIDE_OTHERS_ROWS if await pace.beside_others() else RANGE_ROWS
            bound, rows = await next_bound(target, part, last, size)
            compared_now = await compare(target, compiled.version, part, last, bound)
            if compared_now.total:
                await differences.keep(target, compiled.version, table_of(part), last, bound, compared_now)
            mine += compared_now.listed
            if compared is not None:
                compared[table_of(part)] = compared.get(table_of(part), 0) + rows
            if bound is None:
                break
            last = bound
        found += mine[:LISTED]
    return found


async def pin(target: Target, compiled: Compiled) -> None:
    """Give our session the settings under which mappings are computed."""
    for name, each in compiled.pins.items():
        if name != "search_path":
            await target.rows("SELECT set_config(%s, %s, false)", name, each)


def table_of(part: Part) -> str:
    """Return the table of the old side that a part is about."""
    return part.table if isinstance(part, Sync) else part.old


async def next_bound(target: Target, part: Part, last: Bound, size: int) -> tuple[Bound, int]:
    """Return the last key of the next `size` rows, and how many they are."""
    key = part.key if isinstance(part, Sync) else mirror.walked(part)
    if not key:
        raise StepFailed("no-key", f"table {table_of(part)} has no primary key", "give it a primary key first")
    found = await target.rows(bound_query(table_of(part), key, last, size))
    return (list(found[0]["bound"]), int(found[0]["rows"])) if found else (None, 0)


async def compare(target: Target, version: str, part: Part, last: Bound, bound: Bound) -> Compared:
    """Compare one range; None as bound: all that lies behind `last`."""
    if isinstance(part, Sync):
        if last is None and bound is None:
            return Compared()  # no row
        sql = comparing.shown(
            f"SELECT {key_text(part.key, '_hl')} AS key, {both_values(part)} AS said "  # noqa: S608
            f"FROM {quoted(part.table)} AS _hl WHERE {within(part.key, last, bound)} AND ({out_of_step(part)})",
            LISTED,
        )
        rows = await target.rows(sql)
    else:
        lists = await target.rows(f"SELECT 1 FROM ({mirror.listed(part, version)}) AS _hl_listed LIMIT 1")  # noqa: S608
        (hashes,) = await target.rows(comparing.hashes(part, last, bound, version if lists else None))
        if hashes["old_rows"] == hashes["new_rows"] and hashes["old_hash"] == hashes["new_hash"]:
            return Compared()
        rows = await target.rows(comparing.differences(part, version, last, bound, LISTED))
    listed = tuple(Difference(table=table_of(part), key=tuple(row["key"]), said=row["said"]) for row in rows)
    return Compared(listed=listed, total=int(rows[0]["total"]) if rows else 0)
