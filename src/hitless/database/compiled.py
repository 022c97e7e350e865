"""A change as it is recorded in the target database: all that is needed after a kill, when no file is left. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from hitless.database import mirroring, triggers
from hitless.database.catalogue import Catalogue
from hitless.database.constraints import with_copies
from hitless.database.names import literal, quoted
from hitless.database.pieces import Build, Pieces, Shadow
from hitless.database.sync import Sync, syncs
from hitless.database.views import create_schema, create_views, drop_views


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """The SQL that follows expand, by phase, in the order in which it runs."""

    version: str
    old_version: str | None  # None: the database as it was found
    syncs: tuple[Sync, ...]
    shadows: tuple[Shadow, ...] = ()
    builds: tuple[Build, ...]
    late: tuple[str, ...] = ()
    validate: tuple[str, ...]
    contract: tuple[str, ...]
    rollback: tuple[str, ...]
    destroys: tuple[str, ...]
    tables: tuple[str, ...]  # base tables that are touched
    pins: Mapping[str, str] = field(default_factory=dict)  # settings under which mappings are computed
    extends: bool = False  # SQL at contract may make columns that the views then show


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What compiling needs to know of the database besides its tables."""

    version: str
    old_version: str | None
    schemas: tuple[str, str]  # of the old and the new version's names
    pins: Mapping[str, str]
    grants: Mapping[str, tuple[tuple[str, tuple[str, ...]], ...]]  # table -> (role, rights)
    shown: frozenset[str] | None = None  # tables that get a view although the change leaves them alone; None: all


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The last statements of expand, and what is recorded."""

    early: tuple[str, ...]  # takes no lock on a table: it runs before any is held
    expand: tuple[str, ...]
    compiled: Compiled


def finish(pieces: Pieces, around: Surroundings) -> Finished:
    """Close a change after its last operation: copies, triggers before guards, views. Raises Refused."""
    pieces = with_copies(pieces)
    made, gone = _kept_in_step(pieces, around)
    groups = syncs(pieces)
    old_views = drop_views(around.schemas[0]) if around.old_version is not None else ()
    early, touched = _views(pieces, around)
    # triggers exist before constraints: a write of the old side never meets a constraint with nothing filled in
    expand = (*made, *pieces.guards, *touched)
    compiled = Compiled(
        version=around.version,
        old_version=around.old_version,
        syncs=groups,
        shadows=pieces.shadows,
        builds=pieces.builds,
        late=pieces.late,
        validate=pieces.validate,
        contract=(
            *old_views,
            *gone,
            *pieces.prepare,
            *pieces.contract,
            *pieces.named,
            *renames(pieces),
            *not_null_names(pieces),
            *pieces.last,
        ),
        rollback=(*drop_views(around.schemas[1]), *gone, *reversed(pieces.rollback)),
        destroys=pieces.destroys,
        tables=tuple(sorted({sync.table for sync in groups} | {each.old for each in pieces.shadows})),
        pins=around.pins,
        extends=bool(pieces.last),
    )
    return Finished(early=early, expand=expand, compiled=compiled)


def _views(pieces: Pieces, around: Surroundings) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the views of tables that this change leaves alone, and those of the others."""
    there = {
        (table.physical, column.physical) for table in pieces.old.tables.values() for column in table.columns.values()
    }
    alone = {
        name: table
        for name, table in pieces.new.tables.items()
        if all((table.physical, column.physical) in there for column in table.columns.values())
    }
    rest = {name: table for name, table in pieces.new.tables.items() if name not in alone}
    if around.shown is not None:
        alone = {name: table for name, table in alone.items() if name in around.shown}
    schema, grants = around.schemas[1], around.grants
    early = create_views(schema, Catalogue(tables=alone), pieces.defaults, grants)
    touched = create_views(schema, Catalogue(tables=rest), pieces.defaults, grants)
    return (*create_schema(schema, grants), *early), touched


def _kept_in_step(pieces: Pieces, around: Surroundings) -> tuple[list[str], list[str]]:
    made: list[str] = []
    gone: list[str] = []
    for sync in syncs(pieces):
        made += triggers.install(sync, around.version, around.schemas, around.pins)
        gone += triggers.remove(sync, around.schemas)
    for shadow in pieces.shadows:
        made += mirroring.install(shadow, around.version, around.schemas[1], around.pins)
        gone += mirroring.remove(shadow, around.schemas[1])
    return made, gone


def renames(pieces: Pieces) -> tuple[str, ...]:
    """Give columns and tables the names of the new version; two that change places go by way of a third name."""
    statements: list[str] = []
    for table in pieces.new.tables.values():
        pairs = {column.physical: name for name, column in table.columns.items() if column.physical != name}
        start = f"ALTER TABLE {quoted(table.physical)} RENAME COLUMN"
        statements += _renamed(start, pairs)
    tables = {table.physical: name for name, table in pieces.new.tables.items() if table.physical != name}
    return (*statements, *_renamed("ALTER TABLE", tables))


_NOT_NULL_NAMES = """DO $$ DECLARE each record; wanted name; BEGIN
FOR each IN SELECT k.conname, a.attname FROM pg_constraint k
  JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
  WHERE k.conrelid = TABLE_NAME::regclass AND k.contype = 'n' AND k.coninhcount = 0
    AND k.conname LIKE '%\\_hitless\\_%' LOOP
  wanted := left(TABLE_TEXT || '_' || each.attname, 40) || '_not_null';
  IF EXISTS (SELECT 1 FROM pg_constraint WHERE conrelid = TABLE_NAME::regclass AND conname = wanted) THEN
    wanted := md5(each.attname) || '_not_null';
  END IF;
  EXECUTE format('ALTER TABLE %s RENAME CONSTRAINT %I TO %I', TABLE_NAME::regclass, each.conname, wanted);
END LOOP; END $$"""


def not_null_names(pieces: Pieces) -> tuple[str, ...]:
    """Rename what PostgreSQL 18 names after the stand-in that was not to be NULL; older ones keep no such name."""
    strict = {table for table, _ in pieces.required}
    names = [name for name, table in pieces.new.tables.items() if table.physical in strict]
    return tuple(
        _NOT_NULL_NAMES.replace("TABLE_NAME", literal(quoted(name))).replace("TABLE_TEXT", literal(name))
        for name in names
    )


def _renamed(start: str, pairs: Mapping[str, str]) -> list[str]:
    first, second = [], []
    for number, (before, name) in enumerate(pairs.items()):
        there = f"_hitless_{number}" if name in pairs else name
        first.append(f"{start} {_to(start, before, there)}")
        if there != name:
            second.append(f"{start} {_to(start, there, name)}")
    return first + second


def _to(start: str, before: str, after: str) -> str:
    word = "RENAME TO" if start == "ALTER TABLE" else "TO"
    return f"{quoted(before)} {word} {quoted(after)}"


def merged(pieces: Pieces, found: Pieces) -> Pieces:
    """Take over what raw SQL has made or dropped; `found` holds the base tables as they now are."""
    ours = {fill.column for fill in pieces.fills if fill.upward}
    shadows = {each.new for each in pieces.shadows}
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
    physical = {table.physical for table in (*new.tables.values(), *pieces.old.tables.values())} | shadows
    for name, table in found.new.tables.items():
        if name not in physical:
            new = new.with_table(name, table)
    return replace(pieces, new=new)
