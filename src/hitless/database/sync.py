"""The triggers that keep both sides of a change in step, and the SQL of backfill and verification. Pure.

Which side a write comes from is read from the row: a change of a column that only one side has tells it. Where the row
does not tell, the order of the schemas that the session really resolves names in does (current_schemas, not its text).
"""

# ruff: noqa: S608  every name that is put in is quoted; expressions are the user's own SQL

from dataclasses import dataclass

from hitless.database.constraints import words_of
from hitless.database.names import MARK, TRIGGER, fitted, literal, quoted
from hitless.database.pieces import Fill, Pieces

ON = "WHEN (current_setting('hitless.sync', true) IS DISTINCT FROM 'off')"  # the backfill fills what it writes itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync:
    """The fills of one base table."""

    table: str
    key: tuple[str, ...]
    fills: tuple[Fill, ...]

    @property
    def ups(self) -> tuple[Fill, ...]:
        """Those of the new side."""
        return tuple(fill for fill in self.fills if fill.upward)

    @property
    def downs(self) -> tuple[Fill, ...]:
        """Those of the old side."""
        return tuple(fill for fill in self.fills if not fill.upward)


def syncs(pieces: Pieces) -> tuple[Sync, ...]:
    """Group the fills by table; each expression sees all names of the side that it reads."""
    found: dict[str, list[Fill]] = {}
    for fill in pieces.fills:
        catalogue = pieces.old if fill.upward else pieces.new
        seen = {
            name: column.physical
            for table in catalogue.tables.values()
            if table.physical == fill.table
            for name, column in table.columns.items()
        }
        whole = Fill(
            table=fill.table,
            column=fill.column,
            expression=fill.expression,
            row={**seen, **fill.row},
            alias=fill.alias,
            upward=fill.upward,
        )
        found.setdefault(fill.table, []).append(whole)
    keys = {table.physical: table.key for table in (*pieces.new.tables.values(), *pieces.old.tables.values())}
    return tuple(Sync(table=name, key=keys[name], fills=tuple(fills)) for name, fills in found.items())


def function_name(version: str, table: str) -> str:
    """Name the trigger function of a table, in the schema `hitless`."""
    return f"hitless.{quoted(fitted(f'sync_{version}_{table}'))}"


def install(sync: Sync, version: str, schemas: tuple[str, str]) -> tuple[str, ...]:
    """Write the statements that put the trigger in place; `schemas` are those of the old and the new version."""
    base, function = quoted(sync.table), function_name(version, sync.table)
    mark = (f"ALTER TABLE {base} ADD COLUMN {quoted(MARK)} boolean",) if sync.ups else ()
    return (
        *mark,
        f"CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS {literal(_body(sync, schemas))}",
        f"CREATE TRIGGER {TRIGGER} BEFORE INSERT OR UPDATE ON {base} FOR EACH ROW {ON} EXECUTE FUNCTION {function}()",
    )


def remove(sync: Sync, version: str) -> tuple[str, ...]:
    """Write the statements that take the trigger away."""
    base = quoted(sync.table)
    return (
        f"DROP TRIGGER IF EXISTS {TRIGGER} ON {base}",
        f"DROP FUNCTION IF EXISTS {function_name(version, sync.table)}()",
        f"ALTER TABLE {base} DROP COLUMN IF EXISTS {quoted(MARK)}",
    )


def _body(sync: Sync, schemas: tuple[str, str]) -> str:
    old, new = (f"coalesce(array_position(current_schemas(false)::text[], {literal(each)}), 9999)" for each in schemas)
    written = " OR ".join(f"NEW.{quoted(fill.column)} IS NOT NULL" for fill in sync.ups) or "false"
    catch_up = [
        f"IF {_same(fill.column)} THEN {_assign(fill, 'OLD')} END IF;" for fill in sync.ups
    ]  # the new side writes a row that the backfill has not reached
    lines = [
        "#variable_conflict use_column",
        "DECLARE _hitless_new boolean; _hitless_first boolean := TG_OP = 'INSERT';",
        "BEGIN",
        "IF TG_OP = 'INSERT' THEN",
        f"  _hitless_new := ({written}) OR {new} < {old};",
        "ELSE",
        f"  _hitless_new := CASE WHEN ({_changed(sync.ups)}) = ({_changed(sync.downs)})",
        f"    THEN {new} < {old} ELSE {_changed(sync.ups)} END;",
    ]
    if sync.ups:
        lines += [
            f"  IF OLD.{quoted(MARK)} IS NULL THEN",
            "    IF _hitless_new THEN",
            *catch_up,
            "    END IF;",
            "    _hitless_first := true;",
            "  END IF;",
        ]
    lines += ["END IF;", "IF _hitless_new THEN"]
    lines += [*(_when_read(fill) for fill in sync.downs), "NULL;", "ELSE"]
    lines += [*(_when_read(fill) for fill in sync.ups), "NULL;", "END IF;"]
    lines += [f"NEW.{quoted(MARK)} := true;"] if sync.ups else []
    return "\n".join([*lines, "RETURN NEW;", "END"])


def _same(column: str) -> str:
    return f"NEW.{quoted(column)} IS NOT DISTINCT FROM OLD.{quoted(column)}"


def _changed(fills: tuple[Fill, ...]) -> str:
    parts = (f"NEW.{quoted(fill.column)} IS DISTINCT FROM OLD.{quoted(fill.column)}" for fill in fills)
    return f"({' OR '.join(parts) or 'false'})"


def read_by(fill: Fill) -> tuple[str, ...]:
    """Return the physical columns that a fill may read."""
    words = words_of(fill.expression)
    return tuple(sorted({column for name, column in fill.row.items() if name in words or name.lower() in words}))


def _when_read(fill: Fill) -> str:
    """What was not touched stays as it was written: a fill runs for new rows and where something it reads changed."""
    changed = [f"NEW.{quoted(each)} IS DISTINCT FROM OLD.{quoted(each)}" for each in read_by(fill)]
    # OLD is not there on INSERT: the two conditions must not share one expression
    again = f"ELSIF {' OR '.join(changed)} THEN {_assign(fill, 'NEW')}" if changed else ""
    return f"IF _hitless_first THEN {_assign(fill, 'NEW')} {again} END IF;"


def _assign(fill: Fill, source: str) -> str:
    return f"NEW.{quoted(fill.column)} := {value(fill, source)};"


def value(fill: Fill, source: str) -> str:
    """Write the value of a fill over a row (`source`: NEW, OLD, or an alias of the base table)."""
    words = words_of(fill.expression)
    names = [
        f"{source}.{quoted(column)} AS {quoted(name)}"
        for name, column in fill.row.items()
        if name in words or name.lower() in words
    ]
    row = f"(SELECT {', '.join(names) or 'NULL'}) AS {quoted(fill.alias)}"
    return f"(SELECT ({fill.expression}) FROM {row})"


def backfill(sync: Sync) -> str:
    """Write the UPDATE of one batch, without the bounds; rows that a trigger saw are left alone."""
    sets = [f"{quoted(fill.column)} = {_direct(fill)}" for fill in sync.ups]
    return (
        f"UPDATE {quoted(sync.table)} AS _hl SET {', '.join(sets)}, {quoted(MARK)} = true WHERE {quoted(MARK)} IS NULL"
    )


def _direct(fill: Fill) -> str:
    """Write the value in place where no name differs and no subquery could catch one: it is what makes it fast."""
    words = words_of(fill.expression)
    plain = all(name == column for name, column in fill.row.items() if name in words or name.lower() in words)
    nested = {"select", "SELECT", fill.alias} & words
    return f"({fill.expression})" if plain and not nested else value(fill, "_hl")


def out_of_step(sync: Sync) -> str:
    """Write the condition of rows that differ: neither side follows from the other."""
    parts = [f"{quoted(MARK)} IS NOT TRUE"] if sync.ups else []
    for group in _groups(sync):
        ups = [fill for fill in group if fill.upward]
        downs = [fill for fill in group if not fill.upward]
        if ups and downs:  # with one side only there is nothing that the other would have to equal
            parts.append(f"NOT (({_equal(ups)}) OR ({_equal(downs)}) OR ({_moving(ups)}))")
    return " OR ".join(parts) or "false"


def _equal(fills: list[Fill]) -> str:
    return " AND ".join(f"{quoted(fill.column)} IS NOT DISTINCT FROM {value(fill, '_hl')}" for fill in fills)


def _moving(fills: list[Fill]) -> str:
    """An expression that gives another value each time (random, now) cannot be compared."""
    return " OR ".join(f"{value(fill, '_hl')} IS DISTINCT FROM {value(fill, '_hl')}" for fill in fills)


def _groups(sync: Sync) -> list[list[Fill]]:
    """Put together what is linked: a fill, and those whose columns it reads."""
    groups: list[list[Fill]] = []
    for fill in sync.fills:
        linked = [group for group in groups if any(_linked(fill, other) for other in group)]
        groups = [group for group in groups if group not in linked]
        groups.append([each for group in linked for each in group] + [fill])
    return groups


def _linked(one: Fill, other: Fill) -> bool:
    return one.column in read_by(other) or other.column in read_by(one)
