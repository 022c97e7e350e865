"""A change as it is recorded in the target database: all that is needed after a kill, when no file is left. Pure."""

from dataclasses import dataclass, replace

from hitless.database.constraints import with_copies
from hitless.database.pieces import Build, Pieces
from hitless.database.sync import Sync, install, remove, syncs
from hitless.database.views import create_views, drop_views


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """The SQL that follows expand, by phase, in the order in which it runs."""

    version: str
    old_version: str | None  # None: the database as it was found
    syncs: tuple[Sync, ...]
    builds: tuple[Build, ...]
    validate: tuple[str, ...]
    contract: tuple[str, ...]
    rollback: tuple[str, ...]
    destroys: tuple[str, ...]
    tables: tuple[str, ...]  # base tables that are touched


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The last statements of expand, and what is recorded."""

    expand: tuple[str, ...]
    compiled: Compiled


def finish(pieces: Pieces, version: str, old_version: str | None, schemas: tuple[str, str]) -> Finished:
    """Close a change after its last operation: copies, triggers before guards, views."""
    pieces = with_copies(pieces)
    groups = syncs(pieces)
    made = tuple(statement for sync in groups for statement in install(sync, version, schemas))
    gone = tuple(statement for sync in groups for statement in remove(sync, version))
    old_views = drop_views(old_version) if old_version is not None else ()
    # triggers exist before constraints: a write of the old side never meets a constraint with nothing filled in
    expand = (*made, *pieces.guards, *create_views(version, pieces.new, pieces.defaults))
    compiled = Compiled(
        version=version,
        old_version=old_version,
        syncs=groups,
        builds=pieces.builds,
        validate=pieces.validate,
        contract=(*old_views, *gone, *pieces.prepare, *pieces.contract),
        rollback=(*drop_views(version), *gone, *reversed(pieces.rollback)),
        destroys=pieces.destroys,
        tables=tuple(sorted({sync.table for sync in groups})),
    )
    return Finished(expand=expand, compiled=compiled)


def merged(pieces: Pieces, found: Pieces) -> Pieces:
    """Take over what raw SQL has made or dropped; `found` holds the base tables as they now are."""
    ours = {fill.column for fill in pieces.fills if fill.upward}
    new = pieces.new
    for name, table in tuple(new.tables.items()):
        base = next((each for each in found.new.tables.values() if each.physical == table.physical), None)
        if base is None:
            new = new.without(name)
            continue
        before = pieces.old.tables.get(base.physical)
        known = {column.physical for column in table.columns.values()} | ours | set(before.columns if before else ())
        fresh = {each: column for each, column in base.columns.items() if each not in known}
        kept = {each: column for each, column in table.columns.items() if column.physical in base.columns}
        merged_table = replace(table, columns={**kept, **fresh}, key=base.key, indexes=base.indexes)
        new = new.with_table(name, replace(merged_table, constraints=base.constraints))
    physical = {table.physical for table in (*new.tables.values(), *pieces.old.tables.values())}
    for name, table in found.new.tables.items():
        if name not in physical:
            new = new.with_table(name, table)
    return replace(pieces, new=new)
