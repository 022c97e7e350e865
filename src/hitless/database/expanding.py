"""Expand: the new version beside the old one, in one short transaction that is prepared before it takes a lock."""

from hitless.database import differences, ledger, reading
from hitless.database.catalogue import Catalogue
from hitless.database.compile import compile_operation
from hitless.database.compiled import Finished, Surroundings, finish, merged
from hitless.database.folding import folded
from hitless.database.migration import Migration, MigrationFile, Operation
from hitless.database.names import schema_of
from hitless.database.operations import RawSql
from hitless.database.pieces import Pieces
from hitless.database.postgres import Target
from hitless.database.queries import DEPENDENTS
from hitless.database.telling import told_of
from hitless.kit.errors import Refused


async def expand(
    target: Target, version: str, migrations: tuple[Migration, ...], shown: frozenset[str] | None = None
) -> None:
    """Make the new version beside the old one: all of it in one transaction. Raises Refused with nothing touched.

    `shown` names the tables that get a view although the change leaves them alone; None: all of them.
    """
    await target.set_up()
    files = [migration.read() for migration in migrations]
    operations = folded(each for file in files for each in file.operations)

    async def work() -> None:
        if await ledger.change(target, version) is not None:
            return
        await differences.forget(target)
        around = await _surroundings(target, version, await _current(target, migrations), shown)
        if any(isinstance(each.change, RawSql) for each in operations):
            await _record(target, await _one_by_one(target, operations, around), migrations)
        else:
            await _at_once(target, operations, around, migrations)

    with told_of(target, migrations):
        await target.politely(_tables(files), work)


def _tables(files: list[MigrationFile]) -> tuple[str, ...]:
    changes = [each.change for file in files for each in file.operations]
    return tuple(sorted({str(getattr(each, "table", "")) for each in changes} - {""}))


async def _surroundings(
    target: Target, version: str, old_version: str | None, shown: frozenset[str] | None
) -> Surroundings:
    old = schema_of(old_version, target.space) if old_version else target.space
    return Surroundings(
        version=version,
        old_version=old_version,
        schemas=(old, schema_of(version, target.space)),
        pins=await reading.pins(target),
        grants=await reading.grants(target),
        shown=shown,
    )


async def _one_by_one(target: Target, operations: list[Operation], around: Surroundings) -> Finished:
    """Carry operations out with SQL among them: what that makes is only known once it has run."""
    base = await _as_seen(target, around)
    pieces = Pieces(old=base, new=base)
    for operation in operations:
        before = len(pieces.expand)
        pieces = compile_operation(operation, pieces)
        await target.run(*pieces.expand[before:])
        if isinstance(operation.change, RawSql) and not operation.change.onComplete:
            found = await reading.catalogue(target)
            pieces = merged(pieces, Pieces(old=found, new=found))
    finished = finish(pieces, around)
    await _refuse_dependents(target, pieces)
    await target.run(*finished.early, *finished.expand)
    return finished


async def _at_once(
    target: Target, operations: list[Operation], around: Surroundings, migrations: tuple[Migration, ...]
) -> None:
    """Prepare everything, then take the tables, and do nothing more than what needs them."""
    base = await _as_seen(target, around)
    pieces = Pieces(old=base, new=base)
    for operation in operations:
        pieces = compile_operation(operation, pieces)
    finished = finish(pieces, around)
    await _refuse_dependents(target, pieces)
    await target.run(*finished.early)
    await _record(target, finished, migrations)
    await target.hold(finished.compiled.tables)
    await target.run_at_once(*pieces.expand, *finished.expand)


async def _as_seen(target: Target, around: Surroundings) -> Catalogue:
    """Read the tables with their columns in the order of the version in force.

    A column that was altered stands last in its table; code that says SELECT * must not notice.
    """
    base = await reading.catalogue(target)
    if around.old_version is None:
        return base
    return base.as_seen(await reading.views(target, around.old_version))


async def _record(target: Target, finished: Finished, migrations: tuple[Migration, ...]) -> None:
    await ledger.record(target, finished.compiled)
    for each in migrations:
        await note_direction(target, finished.compiled.version, each, "up")


async def _refuse_dependents(target: Target, pieces: Pieces) -> None:
    """Raise Refused where contract would find something that hangs on what it drops."""
    going: dict[str, list[str] | None] = {}
    for table, column in pieces.going:
        columns = going.setdefault(table, [])
        if column is None or columns is None:
            going[table] = None
        else:
            columns.append(column)
    shadows = {each.old for each in pieces.shadows}
    for table in shadows:
        going[table] = None
    dropped = {table for table, columns in going.items() if columns is None}
    for table, columns in going.items():
        whole = columns is None
        rows = await target.rows(DEPENDENTS, table, columns or [], whole, whole, columns or [], whole, whole)
        for row in rows:
            what = str(row["what"])
            excused = any(f"constraint {name} on" in what for name in pieces.left_out)
            excused |= any(what.endswith(f"on table {name}") for name in dropped)
            excused |= table in shadows and what.startswith("constraint ")  # pointed at the new table
            if not excused:
                raise Refused(
                    "depends", f"{what} needs what contract would drop of {table}", "change or drop it first, by `sql`"
                )


async def _current(target: Target, migrations: tuple[Migration, ...]) -> str | None:
    """Return the version in force. Raises Refused for another open change, or a file that is edited or late."""
    for row in await target.rows(
        "SELECT version, state FROM hitless.schema_change "
        "WHERE space = current_schema() AND state NOT IN ('past', 'current')"
    ):
        raise Refused(
            "change-open", f"schema version {row['version']} is {row['state']}", "contract or roll it back first"
        )
    ran = await target.rows(
        "SELECT m.name, m.checksum FROM hitless.migration m JOIN hitless.schema_change s USING (space, version) "
        "WHERE space = current_schema() AND m.direction = 'up'"
    )
    for row in ran:
        same = next((each for each in migrations if each.name == row["name"]), None)
        if same is not None:
            what = "ran already" if same.checksum == row["checksum"] else "ran already, and was edited since"
            raise Refused("migration-ran", f"{same.name} {what}", "write a new migration")
    last = max((int(str(row["name"]).split("_")[0]) for row in ran), default=0)
    late = next((each for each in migrations if each.number <= last), None)
    if late is not None:
        raise Refused(
            "migration-late", f"{late.name} has a number that is past: {last:04d} ran", f"call it {last + 1:04d}_..."
        )
    found = await target.rows(
        "SELECT version FROM hitless.schema_change WHERE space = current_schema() AND state = 'current'"
    )
    return str(found[0]["version"]) if found else None


async def note_direction(target: Target, version: str, migration: Migration, direction: str) -> None:
    """Write down that a migration went up or down, by whom and when."""
    await target.rows(
        "INSERT INTO hitless.migration (name, checksum, version, direction, text) "
        "VALUES (%s, %s, %s, %s, %s) RETURNING 1",
        migration.name,
        migration.checksum,
        version,
        direction,
        migration.text,
    )
