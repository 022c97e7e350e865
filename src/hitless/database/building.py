"""Indexes that a change needs, built beside running writes."""

import psycopg

from hitless.database.names import fitted, quoted
from hitless.database.pieces import Build
from hitless.database.postgres import Target
from hitless.database.queries import LEAVES
from hitless.kit.errors import HitlessError
from hitless.plan.ports import StepFailed


async def build_index(target: Target, build: Build) -> None:
    """Build an index beside running writes; what a kill left invalid is built anew."""
    if not build.partitioned:
        await _built(target, build.name, build.sql)
        return
    parent = build.sql.replace(" CONCURRENTLY ", " ", 1).replace(" ON ", " ON ONLY ", 1)
    if not build.constraint and not await target.rows("SELECT 1 WHERE to_regclass(%s) IS NOT NULL", quoted(build.name)):
        await run_politely(target, (build.table,), parent)
    for name, leaf in (await leaf_indexes(target, build.table, build.name)).items():
        sql = build.sql.replace(quoted(build.name), quoted(name), 1).replace(quoted(build.table), leaf, 1)
        await _built(target, name, sql)
        if build.constraint:
            continue
        attach = f"ALTER INDEX {quoted(build.name)} ATTACH PARTITION {quoted(name)}"
        await run_politely(target, (build.table,), attach)


async def run_politely(target: Target, tables: tuple[str, ...], sql: str) -> None:
    """Run a statement that locks tables for a moment."""

    async def work() -> None:
        await target.run(sql)

    await target.politely(tables, work)


async def leaf_indexes(target: Target, table: str, index: str) -> dict[str, str]:
    """Return the indexes that the partitions of a table get for one of its own: name -> partition."""
    rows = await target.rows(LEAVES, quoted(table))
    return {fitted(f"{index}_{row['leaf']}"): row["name"] for row in rows}


async def taken_over(target: Target, build: Build) -> list[str]:
    """Write what makes a unique constraint or a key of a partitioned table from the indexes of its partitions.

    Each partition gets its own first; the table's then finds them there, and nothing is built while it is locked.
    """
    if not build.constraint:
        return []
    rows = await target.rows(LEAVES, quoted(build.table))
    wanted = build.name.removeprefix("_hitless_")
    takes = list(build.first)
    for row in rows:
        index, name = fitted(f"{build.name}_{row['leaf']}"), fitted(f"{row['leaf']}_{wanted}")
        if await target.rows("SELECT 1 WHERE to_regclass(%s) IS NOT NULL", quoted(name)):
            name = fitted(f"{row['leaf']}_{wanted}_key")  # what it takes the place of is called so
        take = f"{build.kind} USING INDEX {quoted(index)}{build.deferrable}"
        takes.append(f"ALTER TABLE {row['name']} ADD CONSTRAINT {quoted(name)} {take}")
    return [*takes, build.constraint]


async def _built(target: Target, name: str, sql: str) -> None:
    valid = await target.rows(
        "SELECT indisvalid AS valid FROM pg_index WHERE indexrelid = to_regclass(%s)", quoted(name)
    )
    if valid and not valid[0]["valid"]:
        await target.run(f"DROP INDEX CONCURRENTLY IF EXISTS {quoted(name)}")
    if not (valid and valid[0]["valid"]):
        try:
            await target.run(sql)
        except psycopg.errors.UniqueViolation as error:
            await target.run(f"DROP INDEX CONCURRENTLY IF EXISTS {quoted(name)}")
            raise StepFailed(
                "not-unique", f"{name}: {error.diag.message_detail or error}", "correct these rows, then apply again"
            ) from None
        except psycopg.errors.LockNotAvailable as error:
            raise HitlessError("blocked", str(error), "apply again") from None
