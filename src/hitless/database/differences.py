"""The rows that differ, as they were when they were last compared: kept in the database that is compared.

Their values are the user's data: they are in no journal and no message, and go with the change; those for which it was
taken back before the switch, with the next one. Each row is kept with the range in which it was found, and each range
with how many of its rows differ.
"""

from hitless.database.comparing import Compared, Difference, Differing
from hitless.database.connecting import Row
from hitless.database.postgres import Target
from hitless.database.ranges import Bound

KEPT = 100  # rows that differ, of one change
_MINE = "space = current_schema() AND version = %s"


async def keep(
    target: Target, version: str, table: str, last: Bound, bound: Bound, found: Compared, sweep: int = 0
) -> None:
    """Put what differs in a range in the place of what did when it was last compared."""
    await target.rows(
        f"DELETE FROM hitless.difference WHERE {_MINE} AND base = %s "  # noqa: S608
        "AND last IS NOT DISTINCT FROM %s::text[] AND bound IS NOT DISTINCT FROM %s::text[] RETURNING 1",
        *(version, table, last, bound),
    )
    for each in found.listed:
        await target.rows(
            "INSERT INTO hitless.difference (version, base, key, said, last, bound, total, sweep) "  # noqa: S608
            f"SELECT %s, %s, %s, %s, %s, %s, %s, %s WHERE (SELECT count(*) FROM hitless.difference WHERE {_MINE}) < %s "
            "ON CONFLICT (space, version, base, key) DO UPDATE SET said = excluded.said, last = excluded.last, "
            "bound = excluded.bound, total = excluded.total, sweep = excluded.sweep, looked_at = clock_timestamp() "
            "RETURNING 1",
            *(version, table, list(each.key), each.said, last, bound, found.total, sweep, version, KEPT),
        )


async def postpone(target: Target, version: str, at: Row) -> None:
    """Let the other ranges be looked at before this one."""
    await target.rows(
        f"UPDATE hitless.difference SET looked_at = clock_timestamp() WHERE {_MINE} AND base = %s "  # noqa: S608
        "AND last IS NOT DISTINCT FROM %s::text[] AND bound IS NOT DISTINCT FROM %s::text[] RETURNING 1",
        *(version, at["base"], at["last"], at["bound"]),
    )


async def ranges(target: Target, version: str) -> list[Row]:
    """Return `base`, `last`, `bound` and `sweep` of the ranges in which rows differ, the one last looked at last."""
    return await target.rows(
        f"SELECT base, last, bound, max(sweep) AS sweep FROM hitless.difference WHERE {_MINE} "  # noqa: S608
        "GROUP BY base, last, bound ORDER BY min(looked_at)",
        version,
    )


async def differing(target: Target, version: str) -> Differing:
    """Return the rows that differed when they were last compared.

    All are counted where all are listed. Otherwise ranges of one sweep have no row in common, so that their sum is not
    too much; those that the list has no room for are not in it.
    """
    rows = await target.rows(
        f"SELECT base, key, said FROM hitless.difference WHERE {_MINE} ORDER BY base, key",  # noqa: S608
        version,
    )
    (counted,) = await target.rows(
        f"WITH found AS (SELECT base, sweep, max(total) AS total, count(*) AS listed FROM hitless.difference "  # noqa: S608
        f"WHERE {_MINE} GROUP BY base, sweep, last, bound), "
        "swept AS (SELECT base, sum(total) AS total FROM found GROUP BY base, sweep), "
        "most AS (SELECT base, max(total) AS total FROM swept GROUP BY base) "
        "SELECT coalesce((SELECT sum(total) FROM most), 0)::bigint AS total, "
        "EXISTS (SELECT 1 FROM found WHERE listed < total) AS more",
        version,
    )
    listed = tuple(Difference(table=row["base"], key=tuple(row["key"]), said=row["said"]) for row in rows)
    at_least = bool(counted["more"]) or len(listed) >= KEPT
    return Differing(
        listed=listed,
        total=max(len(listed), int(counted["total"])) if at_least else len(listed),
        at_least=at_least,
    )


async def clear(target: Target, version: str) -> None:
    """Take a change off the list."""
    await target.rows(f"DELETE FROM hitless.difference WHERE {_MINE} RETURNING 1", version)  # noqa: S608


async def forget(target: Target) -> None:
    """Take away what is left of changes that are over."""
    await target.rows(
        "DELETE FROM hitless.difference d WHERE space = current_schema() AND NOT EXISTS "
        "(SELECT 1 FROM hitless.schema_change s WHERE s.space = d.space AND s.version = d.version "
        "AND s.state IN ('expanded', 'backfilled', 'verified')) RETURNING 1"
    )
