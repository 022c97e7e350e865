"""The phases of a change on a target database; each is safe to run again after a kill at any point."""

import time
from collections.abc import Awaitable, Callable

from hitless.database.compile import compile_operation
from hitless.database.compiled import Compiled, finish, merged
from hitless.database.migration import Migration, RawSql
from hitless.database.names import application_of, literal, quoted, schema_of
from hitless.database.pieces import Pieces
from hitless.database.postgres import Target
from hitless.database.sync import Sync, backfill, out_of_step
from hitless.database.views import extend_views
from hitless.kit.errors import Refused
from hitless.plan.ports import StepFailed

TARGET_S = 0.05  # of one batch
BATCH_MIN, BATCH_MAX, BATCH_FIRST = 100, 20_000, 1_000  # rows
RANGE_ROWS = 50_000  # of one range of verification
LISTED = 20  # rows that differ, by key

Throttle = Callable[[], Awaitable[None]]  # returns when the next batch may run
Progress = Callable[[dict[str, object]], Awaitable[None]]


async def expand(target: Target, version: str, migrations: tuple[Migration, ...]) -> None:
    """Make the new version beside the old one: all of it in one transaction. Raises Refused with nothing touched."""
    await target.set_up()
    files = [migration.read() for migration in migrations]
    tables = {str(getattr(each.change, "table", "")) for file in files for each in file.operations}

    async def work() -> None:
        if await target.change(version) is not None:
            return
        old_version = await _current(target, migrations)
        base = await target.catalogue()
        pieces = Pieces(old=base, new=base)
        for operation in (each for file in files for each in file.operations):
            before = len(pieces.expand)
            pieces = compile_operation(operation, pieces)
            await target.run(*pieces.expand[before:])
            if isinstance(operation.change, RawSql) and not operation.change.onComplete:
                found = await target.catalogue()
                pieces = merged(pieces, Pieces(old=found, new=found))
        schemas = (schema_of(old_version) if old_version else "public", schema_of(version))
        finished = finish(pieces, version, old_version, schemas)
        await target.run(*finished.expand)
        await target.record(finished.compiled)
        await _remember(target, version, migrations, "up")

    await target.politely(tuple(tables - {""}), work)


async def _current(target: Target, migrations: tuple[Migration, ...]) -> str | None:
    """Return the version in force. Raises Refused for another open change, or a file that is edited or late."""
    for row in await target.rows(
        "SELECT version, state FROM hitless.schema_change WHERE state NOT IN ('past','current')"
    ):
        raise Refused(
            "change-open", f"schema version {row['version']} is {row['state']}", "contract or roll it back first"
        )
    for row in await target.rows(
        "SELECT m.name, m.checksum FROM hitless.migration m JOIN hitless.schema_change s USING (version)"
    ):
        same = next((each for each in migrations if each.name == row["name"]), None)
        if same is not None:
            what = "ran already" if same.checksum == row["checksum"] else "ran already, and was edited since"
            raise Refused("migration-ran", f"{same.name} {what}", "write a new migration")
    found = await target.rows("SELECT version FROM hitless.schema_change WHERE state = 'current'")
    return str(found[0]["version"]) if found else None


async def _remember(target: Target, version: str, migrations: tuple[Migration, ...], direction: str) -> None:
    for each in migrations:
        await target.rows(
            "INSERT INTO hitless.migration (name, checksum, version, direction, text) "
            "VALUES (%s, %s, %s, %s, %s) RETURNING 1",
            each.name,
            each.checksum,
            version,
            direction,
            each.text,
        )


async def recorded(target: Target, version: str, *states: str) -> Compiled | None:
    """Return a change that is in one of the states."""
    found = await target.change(version)
    return found.compiled if found is not None and found.state in states else None


async def withdraw(target: Target, version: str) -> None:
    """Take the new version away; the old side is whole. Raises StepFailed after contract."""
    change = await target.change(version)
    if change is None:
        return
    if change.compiled is None or change.state in ("current", "past"):
        raise StepFailed(
            "contracted", f"schema version {version} has been contracted", "write a migration that goes back"
        )
    compiled = change.compiled
    for build in compiled.builds:
        await target.run(f"DROP INDEX CONCURRENTLY IF EXISTS public.{quoted(build.name)}")

    async def work() -> None:
        await target.run(*compiled.rollback)
        await target.rows("DELETE FROM hitless.checkpoint WHERE version = %s RETURNING 1", version)
        await target.rows("DELETE FROM hitless.schema_change WHERE version = %s RETURNING 1", version)

    await target.politely(compiled.tables, work)


async def fill(target: Target, compiled: Compiled, throttle: Throttle, progress: Progress) -> None:
    """Backfill all tables, build indexes, check constraints. A kill costs at most the batch that was running."""
    for sync in compiled.syncs:
        if sync.ups:
            await _fill_table(target, compiled.version, sync, throttle, progress)
    for build in compiled.builds:
        valid = await target.rows(
            "SELECT indisvalid AS valid FROM pg_index WHERE indexrelid = to_regclass(%s)",
            f"public.{quoted(build.name)}",
        )
        if valid and not valid[0]["valid"]:  # a kill in the middle leaves it invalid
            await target.run(f"DROP INDEX CONCURRENTLY IF EXISTS public.{quoted(build.name)}")
        if not (valid and valid[0]["valid"]):
            await target.run(build.sql)
    await target.run(*compiled.validate)
    await target.set_state(compiled.version, "backfilled")


async def _fill_table(target: Target, version: str, sync: Sync, throttle: Throttle, progress: Progress) -> None:
    _key(sync)
    await target.rows(
        "INSERT INTO hitless.checkpoint (version, base) VALUES (%s, %s) ON CONFLICT DO NOTHING RETURNING 1",
        version,
        sync.table,
    )
    size = BATCH_FIRST
    while True:
        await throttle()
        began = time.monotonic()
        async with target.transaction():
            done, rows = await _batch(target, version, sync, size)
        took = time.monotonic() - began
        if done:
            await progress({"table": sync.table, "rows": rows})
            return
        size = max(BATCH_MIN, min(BATCH_MAX, int(size * min(2.0, max(0.5, TARGET_S / max(took, 0.001))))))


async def _batch(target: Target, version: str, sync: Sync, size: int) -> tuple[bool, int]:
    """Fill one batch and move the checkpoint, in the caller's transaction."""
    await target.run("SET LOCAL hitless.sync = 'off'")
    (at,) = await target.rows(
        "SELECT last, rows, done FROM hitless.checkpoint WHERE version = %s AND base = %s FOR UPDATE",
        version,
        sync.table,
    )
    bound = [] if at["done"] else await next_bound(target, sync, at["last"], size)
    if not bound:
        await target.rows(
            "UPDATE hitless.checkpoint SET done = true WHERE version = %s AND base = %s RETURNING 1",
            version,
            sync.table,
        )
        return True, at["rows"]
    filled = await target.run(f"{backfill(sync)} AND {within(sync, at['last'], bound)}")
    await target.rows(
        "UPDATE hitless.checkpoint SET last = %s, rows = rows + %s WHERE version = %s AND base = %s RETURNING 1",
        bound,
        filled,
        version,
        sync.table,
    )
    return False, at["rows"]


def _key(sync: Sync) -> tuple[str, ...]:
    if not sync.key:
        raise StepFailed(
            "no-key",
            f"table {sync.table} has no primary key: its rows cannot be told apart",
            "give it a primary key first (create_constraint of type primary_key)",
        )
    return sync.key


def _row(values: list[str]) -> str:
    return f"({', '.join(literal(value) for value in values)})"


def within(sync: Sync, last: list[str] | None, bound: list[str]) -> str:
    """Write the condition of keys behind `last`, up to `bound`."""
    key = f"({', '.join(quoted(each) for each in sync.key)})"
    return (f"{key} > {_row(last)} AND " if last else "") + f"{key} <= {_row(bound)}"


async def next_bound(target: Target, sync: Sync, last: list[str] | None, size: int) -> list[str]:
    """Return the last key of the next `size` rows as texts; empty behind the end."""
    names = [quoted(each) for each in _key(sync)]
    behind = f"WHERE ({', '.join(names)}) > {_row(last)}" if last else ""
    inner = f"SELECT {', '.join(names)} FROM {quoted(sync.table)} {behind} ORDER BY {', '.join(names)} LIMIT {size:d}"  # noqa: S608
    texts = ", ".join(f"{name}::text" for name in names)
    last_first = ", ".join(f"{name} DESC" for name in names)
    found = await target.rows(
        f"SELECT ARRAY[{texts}] AS bound FROM ({inner}) AS page ORDER BY {last_first} LIMIT 1"  # noqa: S608
    )
    return list(found[0]["bound"]) if found else []


async def differing(target: Target, compiled: Compiled) -> dict[str, list[list[str]]]:
    """Compare both sides of every row by key ranges; returns up to 20 keys for each table that differs."""
    found: dict[str, list[list[str]]] = {}
    for sync in compiled.syncs:
        condition = out_of_step(sync)
        last: list[str] | None = None
        while condition != "false" and (bound := await next_bound(target, sync, last, RANGE_ROWS)):
            texts = ", ".join(f"{quoted(each)}::text" for each in sync.key)
            rows = await target.rows(
                f"SELECT ARRAY[{texts}] AS key FROM {quoted(sync.table)} AS _hl "  # noqa: S608
                f"WHERE {within(sync, last, bound)} AND ({condition}) LIMIT {LISTED:d}"
            )
            found.setdefault(sync.table, []).extend(row["key"] for row in rows)
            last = bound
    return {table: keys[:LISTED] for table, keys in found.items() if keys}


async def verify(target: Target, compiled: Compiled) -> None:
    """Compare every row. Raises StepFailed `rows-differ` with the keys."""
    if differences := await differing(target, compiled):
        table, keys = next(iter(differences.items()))
        shown = ", ".join("/".join(key) for key in keys)
        raise StepFailed("rows-differ", f"both sides of {table} differ at key {shown}", "look at `up` and `down`")
    await target.set_state(compiled.version, "verified")


async def contract(target: Target, compiled: Compiled) -> None:
    """Take the old side away. Raises Refused `contract-too-early` while a session of another version lives."""
    foreign = await others(target, compiled.version)
    if foreign:
        shown = ", ".join(f"{pid} ({name or 'unnamed'})" for pid, name in foreign[:5])
        raise Refused(
            "contract-too-early",
            f"{len(foreign)} sessions do not use schema version {compiled.version}: {shown}",
            "wait until the old version is gone, or end these sessions",
        )

    async def work() -> None:
        state = await target.change(compiled.version)
        if state is None or state.state == "current":
            return
        await target.run(*compiled.contract)
        await target.run(
            *extend_views(compiled.version, await target.catalogue(), await target.views(compiled.version))
        )
        await target.run("UPDATE hitless.schema_change SET state = 'past' WHERE state = 'current'")
        await target.set_state(compiled.version, "current")
        await target.rows("DELETE FROM hitless.checkpoint WHERE version = %s RETURNING 1", compiled.version)

    await target.politely(compiled.tables, work)


async def others(target: Target, version: str) -> list[tuple[int, str]]:
    """Return sessions that do not say that they use this version; one that renamed itself counts as old."""
    mine = application_of(version)
    return [(each.pid, each.name) for each in await target.sessions() if each.name != mine]
