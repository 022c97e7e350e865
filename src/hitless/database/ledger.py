"""What hitless has written down in a database about its schema versions."""

from dataclasses import asdict, dataclass

from psycopg.types.json import Jsonb

from hitless.database.compiled import Compiled
from hitless.database.postgres import Target
from hitless.plan.document import decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What the database says about a schema version."""

    version: str
    old_version: str | None
    state: str
    switched: bool
    compiled: Compiled | None


async def change(target: Target, version: str) -> Change | None:
    """Return what is recorded of a schema version."""
    found = await target.rows(
        "SELECT version, old_version, state, switched, compiled FROM hitless.schema_change "
        "WHERE space = current_schema() AND version = %s",
        version,
    )
    if not found:
        return None
    compiled = decode(Compiled, found[0]["compiled"]) if found[0]["compiled"] else None
    return Change(**{**found[0], "compiled": compiled})


async def record(target: Target, compiled: Compiled) -> None:
    """Write down an expanded change; part of expand's own transaction."""
    await target.rows(
        "INSERT INTO hitless.schema_change (version, old_version, state, compiled) "
        "VALUES (%s, %s, 'expanded', %s) RETURNING 1",
        compiled.version,
        compiled.old_version,
        Jsonb(asdict(compiled)),
    )


async def set_state(target: Target, version: str, state: str) -> None:
    """Move a change to its next state."""
    await target.rows(
        "UPDATE hitless.schema_change SET state = %s WHERE space = current_schema() AND version = %s RETURNING 1",
        state,
        version,
    )
