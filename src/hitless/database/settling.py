"""Does what a session of one version left to one of the other that then gave up; see `hitless.database.meeting`."""

from collections.abc import Iterable

from hitless.database.meeting import settle
from hitless.database.pieces import Shadow
from hitless.database.postgres import Target

_MINE = "FROM hitless.deferred WHERE space = current_schema() AND version = %s AND base = %s"


async def settled(target: Target, version: str, shadows: Iterable[Shadow]) -> None:
    """Bring rows in step that were left out of step; one that is held now is left to whoever holds it."""
    for shadow in shadows:
        for row in await target.rows(f"SELECT key {_MINE}", version, shadow.old):
            async with target.transaction():
                take, there, changes = settle(shadow, row["key"])
                if await target.rows(take) or not await target.rows(there):
                    await target.run("SET LOCAL hitless.sync = 'off'", *changes)
                    await target.rows(f"DELETE {_MINE} AND key = %s RETURNING 1", version, shadow.old, row["key"])
