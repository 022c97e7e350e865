"""Withdraw, switch and contract on a target database; each is safe to run again after a kill at any point."""

from hitless.database import differences, ledger, reading
from hitless.database.building import leaf_indexes, taken_over
from hitless.database.compiled import Compiled
from hitless.database.expanding import note_direction
from hitless.database.migration import Migration
from hitless.database.names import application_of, quoted, role_of, schema_of
from hitless.database.postgres import Target
from hitless.database.reading import Session
from hitless.database.settling import settled
from hitless.database.unmappable import refuse_loss
from hitless.database.views import extend_views
from hitless.kit.errors import Refused
from hitless.plan.ports import StepFailed


async def recorded(target: Target, version: str, *states: str) -> Compiled | None:
    """Return a change that is in one of the states."""
    found = await ledger.change(target, version)
    return found.compiled if found is not None and found.state in states else None


async def withdraw(target: Target, version: str, accept_loss: int = 0) -> None:
    """Take the new version away; the old side is whole. Raises StepFailed after contract.

    Raises Refused `loss-not-accepted` while more than `accept_loss` rows are listed that the old side cannot hold.
    """
    change = await ledger.change(target, version)
    if change is None:
        return
    if change.compiled is None or change.state in ("current", "past"):
        raise StepFailed(
            "contracted", f"schema version {version} has been contracted", "write a migration that goes back"
        )
    compiled = change.compiled
    await refuse_loss(target, compiled, side="new", accepted=accept_loss)
    dropped = await _without_indexes(target, compiled)

    async def work() -> None:
        if await ledger.change(target, version) is None:
            return
        await target.run("SET LOCAL client_min_messages = warning")
        await _note_the_way_down(target, version)
        await target.hold(compiled.tables)  # from here on others wait
        await settled(target, version, compiled.shadows)
        await target.run_at_once(*dropped, *compiled.rollback)
        await _forget(target, version)
        if change.state == "verified":  # else rows that differ are why it is taken back: people want to see them
            await differences.clear(target, version)

    await target.politely(compiled.tables, work)


async def _without_indexes(target: Target, compiled: Compiled) -> list[str]:
    """Drop what was built, beside running writes; returns what can only go while the tables are held."""
    held: list[str] = []
    for build in compiled.builds:
        if build.partitioned:  # there is no CONCURRENTLY for them
            leaves = await leaf_indexes(target, build.table, build.name)
            held += [f"DROP INDEX IF EXISTS {quoted(name)}" for name in (build.name, *leaves)]
        else:
            await target.run(f"DROP INDEX CONCURRENTLY IF EXISTS {quoted(build.name)}")
    return held


async def _note_the_way_down(target: Target, version: str) -> None:
    for row in await target.rows(
        "SELECT DISTINCT ON (name) name, text FROM hitless.migration "
        "WHERE space = current_schema() AND version = %s ORDER BY name, at DESC",
        version,
    ):
        await note_direction(target, version, Migration(name=row["name"], text=row["text"]), "down")
    await target.rows(
        "DELETE FROM hitless.schema_change WHERE space = current_schema() AND version = %s RETURNING 1", version
    )


async def _forget(target: Target, version: str) -> None:
    for table in ("checkpoint", "unmappable", "rolling", "deferred"):
        await target.rows(
            f"DELETE FROM hitless.{table} WHERE space = current_schema() AND version = %s RETURNING 1",  # noqa: S608
            version,
        )


async def switched(target: Target, version: str, *, on: bool) -> None:
    """Note that code speaks the new version: rows that the old side cannot hold are recorded, no longer refused.

    Either way rows are in step afterwards that a session left to another one, which gave up before now.
    """
    change = await ledger.change(target, version)
    if change is not None and change.compiled is not None and change.state not in ("current", "past"):
        await settled(target, version, change.compiled.shadows)
    await target.rows(
        "UPDATE hitless.schema_change SET switched = %s WHERE space = current_schema() AND version = %s RETURNING 1",
        on,
        version,
    )


async def contract(target: Target, compiled: Compiled, *, first: bool = False, accept_loss: int = 0) -> None:
    """Take the old side away. Raises Refused `contract-too-early` while a session of another version lives.

    Raises Refused `loss-not-accepted` while more than `accept_loss` rows are listed that the new side cannot hold.
    `first`: whoever is connected has never seen the old side.
    """
    await _refuse_early(target, compiled.version, first=first)
    await refuse_loss(target, compiled, side="old", accepted=accept_loss)

    async def work() -> None:
        state = await ledger.change(target, compiled.version)
        if state is None or state.state == "current":
            return
        await target.hold(compiled.tables)
        await _refuse_early(target, compiled.version, first=first)  # somebody may have come while we waited
        await refuse_loss(target, compiled, side="old", accepted=accept_loss)  # or have written
        kept = [sql for each in compiled.builds for sql in await taken_over(target, each)]
        await target.run_at_once(*kept, *compiled.contract)
        if compiled.extends:
            extended = extend_views(
                schema_of(compiled.version, target.space),
                await reading.catalogue(target),
                await reading.views(target, compiled.version),
            )
            await target.run(*extended)
        await target.run(
            "UPDATE hitless.schema_change SET state = 'past' WHERE space = current_schema() AND state = 'current'"
        )
        await ledger.set_state(target, compiled.version, "current")
        await _forget(target, compiled.version)
        await differences.forget(target)

    await target.politely(compiled.tables, work)


async def _refuse_early(target: Target, version: str, *, first: bool) -> None:
    foreign = await others(target, version) if not first else []
    if foreign:
        shown = ", ".join(f"{each.pid} ({each.name or each.role or 'unnamed'})" for each in foreign[:5])
        said = "1 session does not use" if len(foreign) == 1 else f"{len(foreign)} sessions do not use"
        raise Refused(
            "contract-too-early",
            f"{said} schema version {version}: {shown}",
            "wait until the old version is gone, or end these sessions"
            + ("; to see names of other roles' sessions: GRANT pg_read_all_stats" if _hidden(foreign) else ""),
        )


def _hidden(sessions: list[Session]) -> bool:
    return any(not each.name for each in sessions)


async def others(target: Target, version: str) -> list[Session]:
    """Return sessions that do not use this version; one that renamed itself counts as old, unless its role tells."""
    return [each for each in await reading.sessions(target) if not await speaks(target, each, version)]


async def speaks(target: Target, session: Session, version: str) -> bool:
    """Tell whether a session uses a version: by its role behind a pooler, else by its name."""
    role = role_of(version, target.space, target.database)
    if session.role == role:
        return True
    if session.name == application_of(version, target.space):
        return True
    prefix = "hitless/"  # a version of other tables in the same database
    other_space = session.name.startswith(prefix) and session.name.count("/") == 2
    mine = session.name.startswith(f"{prefix}{target.space}/") if target.space != "public" else False
    return other_space and not mine
