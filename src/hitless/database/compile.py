"""From operations to pieces of SQL, one operation after another. Pure."""

from dataclasses import replace
from typing import Any

from hitless.database import operations as m
from hitless.database.altering import alter_column, create_constraint, drop_constraint, fill, without_stand_in
from hitless.database.catalogue import Column, Table
from hitless.database.constraints import column_definition, table_constraint
from hitless.database.fresh import add_at_once, alter_at_once, drop_at_once, is_fresh
from hitless.database.indexing import column_rules, constrain, index, not_null
from hitless.database.migration import Operation
from hitless.database.names import fitted, listed, literal, quoted, temporary
from hitless.database.pieces import Pieces
from hitless.database.reshape import with_generated
from hitless.database.shadow import compile_shadow
from hitless.database.transaction_words import outside_transaction
from hitless.database.twice import original
from hitless.kit.errors import Refused

_SERIALS = {"serial": "integer", "serial4": "integer", "bigserial": "bigint", "serial8": "bigint"}
_SERIALS |= {"smallserial": "smallint", "serial2": "smallint"}


def compile_operation(operation: Operation, pieces: Pieces) -> Pieces:
    """Add one operation. Raises Refused, with nothing touched, where it cannot be right."""
    change = operation.change
    match change:
        case m.CreateTable():
            return _create_table(change, pieces)
        case m.AddColumn() | m.AlterColumn() | m.DropColumn() | m.RenameColumn():
            return _column(change, pieces)
        case m.CreateConstraint():
            return create_constraint(change, pieces)
        case m.DropConstraint() | m.DropMulticolumnConstraint():
            return drop_constraint(change, pieces)
        case m.CreateIndex() | m.DropIndex():
            return index(change, pieces)
        case m.ShadowTable():
            made = compile_shadow(change, pieces)
            return _with_constraints(change, made.new.table(change.table).physical, made)
        case m.CreateEnum() | m.DropEnum() | m.AddEnumValue():
            return _enum(change, pieces)
        case _:
            return _whole(change, pieces)


def _column(change: m.AddColumn | m.AlterColumn | m.DropColumn | m.RenameColumn, pieces: Pieces) -> Pieces:
    fresh = is_fresh(pieces, change.table)
    match change:
        case m.AddColumn():
            return add_at_once(change, pieces) if fresh else _add_column(change, pieces)
        case m.AlterColumn():
            return alter_at_once(change, pieces) if fresh else alter_column(change, pieces)
        case m.DropColumn():
            return drop_at_once(change, pieces) if fresh else _drop_column(change, pieces)
        case m.RenameColumn():
            return _rename_column(change, pieces)


def _whole(change: Any, pieces: Pieces) -> Pieces:
    match change:
        case m.DropTable():
            base = pieces.new.table(change.name).physical
            pieces = replace(pieces, new=pieces.new.without(change.name))
            pieces = pieces.plus(contract=(f"DROP TABLE {quoted(base)}",), destroys=(f"table {change.name}",))
            return pieces.plus(going=((base, None),))
        case m.RenameTable():
            table = pieces.new.table(change.from_)
            if change.to in pieces.new.tables:
                raise Refused("name-taken", f"there is a table {change.to!r} already", "choose another name")
            return replace(pieces, new=pieces.new.without(change.from_).with_table(change.to, table))
        case m.RenameConstraint():
            return _rename_constraint(change, pieces)
        case m.SetReplicaIdentity():
            base = quoted(pieces.new.table(change.table).physical)
            kind = change.identity.type.upper()
            what = f"USING INDEX {quoted(change.identity.index or '')}" if kind == "INDEX" else kind
            return pieces.plus(contract=(f"ALTER TABLE {base} REPLICA IDENTITY {what}",))
        case m.RawSql() if (said := outside_transaction(f"{change.up};{change.down or ''}")) is not None:
            raise Refused(
                "outside-transaction",
                f"sql: PostgreSQL cannot run {said} in a transaction, and a change is one",
                "create_index and drop_index work beside running writes; run anything else by hand, outside the change",
            )
        case m.RawSql(onComplete=True):
            return pieces.plus(last=(change.up,), destroys=("what the SQL at contract does away with",))
        case m.RawSql():
            return pieces.plus(expand=(change.up,), rollback=(change.down,) if change.down else ())
        case _:
            raise AssertionError(f"{change!r} is no operation")


def _rename_constraint(change: m.RenameConstraint, pieces: Pieces) -> Pieces:
    table = pieces.new.table(change.table)
    known = {each.name for each in table.constraints}
    known |= {name for physical, name in pieces.constraints if physical == table.physical}
    if change.from_ not in known:
        raise Refused(
            "no-such-constraint",
            f"{change.table} has no constraint {change.from_!r}",
            f"it has {', '.join(sorted(known)) or 'none'}",
        )
    base = quoted(table.physical)
    rename = f"ALTER TABLE {base} RENAME CONSTRAINT {quoted(change.from_)} TO {quoted(change.to)}"
    return pieces.plus(named=(rename,), constraints=((table.physical, change.to),))


def _with_constraints(change: m.CreateTable | m.ShadowTable, physical: str, pieces: Pieces) -> Pieces:
    """Note the constraints of a new table, as far as the file names them."""
    named = [each.name for each in change.constraints]
    named += [each.check.name for each in change.columns if each.check]
    named += [each.references.name for each in change.columns if each.references and each.references.name]
    return pieces.plus(constraints=tuple((physical, name) for name in named))


def _enum(change: m.CreateEnum | m.DropEnum | m.AddEnumValue, pieces: Pieces) -> Pieces:
    name = quoted(change.name)
    match change:
        case m.CreateEnum():
            values = ", ".join(literal(each) for each in change.values)
            made = f"CREATE TYPE {name} AS ENUM ({values})"
            return pieces.plus(expand=(made,), rollback=(f"DROP TYPE IF EXISTS {name}",))
        case m.DropEnum():
            return pieces.plus(contract=(f"DROP TYPE {name}",), destroys=(f"type {change.name}",))
        case m.AddEnumValue():
            where = f" BEFORE {literal(change.before)}" if change.before is not None else ""
            where = f" AFTER {literal(change.after)}" if change.after is not None else where
            return pieces.plus(expand=(f"ALTER TYPE {name} ADD VALUE IF NOT EXISTS {literal(change.value)}{where}",))


def _create_table(change: m.CreateTable, pieces: Pieces) -> Pieces:
    if change.name in pieces.new.tables:
        raise Refused("name-taken", f"there is a table {change.name!r} already", "choose another name")
    base = quoted(change.name)
    keys = tuple(each.name for each in change.columns if each.pk)
    body = [column_definition(each, pieces.new) for each in change.columns]
    body += [f"PRIMARY KEY ({listed(keys)})"] if keys else []
    keys = keys or next((each.columns for each in change.constraints if each.type == "primary_key"), ())
    plain = {each.name: each.name for each in change.columns}
    body += [table_constraint(each, plain, pieces.new) for each in change.constraints]
    comments = [f"COMMENT ON TABLE {base} IS {literal(change.comment)}"] if change.comment else []
    comments += [
        f"COMMENT ON COLUMN {base}.{quoted(each.name)} IS {literal(each.comment)}"
        for each in change.columns
        if each.comment
    ]
    columns = {each.name: Column(physical=each.name, type=each.type, nullable=each.nullable) for each in change.columns}
    table = Table(physical=change.name, columns=columns, key=keys)
    pieces = replace(pieces, new=pieces.new.with_table(change.name, table))
    pieces = _with_constraints(change, change.name, pieces)
    create = f"CREATE TABLE {base} ({', '.join(body)})"
    return pieces.plus(expand=(create, *comments), rollback=(f"DROP TABLE IF EXISTS {base}",), created=(change.name,))


def _rename_column(change: m.RenameColumn, pieces: Pieces) -> Pieces:
    table = pieces.new.table(change.table)
    table.column(change.from_, change.table)
    if change.to in table.columns:
        raise Refused("name-taken", f"{change.table} has a column {change.to!r} already", "choose another name")
    return replace(pieces, new=pieces.new.with_table(change.table, table.renamed(change.from_, change.to)))


def _drop_column(change: m.DropColumn, pieces: Pieces) -> Pieces:
    table = pieces.new.table(change.table)
    base = quoted(table.physical)
    column = table.column(change.column, change.table)
    if change.down is None and not (column.nullable or column.default or column.generated):
        raise Refused(
            "down-missing",
            f"{change.table}.{change.column} must not be NULL and has no default: what does the old side get?",
            "give the operation a `down`, for example down: \"''\"",
        )
    if original(pieces, table.physical, column.physical) is not None:
        return without_stand_in(pieces, change)
    shrunk = table.without(change.column)
    pieces = replace(pieces, new=pieces.new.with_table(change.table, shrunk))
    if change.down is not None:
        pieces = fill(pieces, change.table, shrunk, column, change.down, upward=False, unmappable=change.on_unmappable)
    gone = f"ALTER TABLE {base} DROP COLUMN {quoted(column.physical)}"
    pieces = pieces.plus(going=((table.physical, column.physical),))
    first = column.expression is not None  # it goes before what it is computed from
    pieces = replace(pieces, prepare=(gone, *pieces.prepare) if first else (*pieces.prepare, gone))
    return pieces.plus(destroys=(f"column {change.table}.{change.column}",))


def _add_column(change: m.AddColumn, pieces: Pieces) -> Pieces:
    table, new = pieces.new.table(change.table), change.column
    if new.name in table.columns or new.pk:
        raise Refused("cannot-add", f"{change.table}.{new.name} is there already, or a key", "choose another name")
    counted = new.type.lower() in _SERIALS or (new.generated is not None and new.generated.identity is not None)
    made = table.physical in pieces.created
    if new.generated is not None and new.generated.expression and not (new.generated.virtual or made):
        return with_generated(change, pieces)
    if counted and not made:
        return _add_counter(change, pieces)
    taken = {each.physical for each in table.columns.values()}
    taken |= {
        c.physical for t in pieces.old.tables.values() if t.physical == table.physical for c in t.columns.values()
    }
    physical = temporary(new.name) if new.name in taken else new.name
    base, quick = quoted(table.physical), change.up is None and new.default is not None and "(" not in new.default
    given = None if quick or new.generated else change.up if change.up is not None else new.default
    if given is None and not (quick or new.nullable or new.generated):
        raise Refused(
            "up-missing", f"{change.table}.{new.name} must not be NULL, and has no `up`", "add `up` or a default"
        )
    plain = new.model_copy(update={"default": new.default if quick else None, "name": physical, "nullable": True})
    bare = plain.model_copy(update={"check": None, "references": None, "unique": False})
    column = Column(physical=physical, type=new.type, nullable=new.nullable, default=new.default)
    pieces = pieces.plus(
        expand=(f"ALTER TABLE {base} ADD COLUMN {column_definition(bare, pieces.new)}",),
        rollback=(f"ALTER TABLE {base} DROP COLUMN IF EXISTS {quoted(physical)}",),
    )
    if given is not None:
        pieces = fill(pieces, change.table, table, column, given, upward=True, unmappable=change.on_unmappable)
    table = table.with_column(new.name, column)
    pieces = replace(pieces, new=pieces.new.with_table(change.table, table))
    if new.default is not None and not quick:
        pieces = pieces.with_default(table.physical, physical, new.default)
        pieces = pieces.plus(contract=(f"ALTER TABLE {base} ALTER {quoted(physical)} SET DEFAULT {new.default}",))
    return _finished(change, pieces, physical)


def _finished(change: m.AddColumn, pieces: Pieces, physical: str) -> Pieces:
    """Add what else a new column wants: a comment, NOT NULL, constraints."""
    new, table = change.column, pieces.new.table(change.table)
    if new.comment:
        base = quoted(table.physical)
        pieces = pieces.plus(contract=(f"COMMENT ON COLUMN {base}.{quoted(physical)} IS {literal(new.comment)}",))
    if not new.nullable and not new.generated:
        pieces = not_null(pieces, table.physical, physical)
    if new.unique:
        wanted = m.ConstraintModel(name=fitted(f"{table.physical}_{new.name}_key"), type="unique", columns=(new.name,))
        pieces = constrain(pieces, change.table, wanted)
    return column_rules(pieces, change.table, new.name, new.check, new.references)


def _add_counter(change: m.AddColumn, pieces: Pieces) -> Pieces:
    """A counting column: added empty and filled from a sequence, where ADD COLUMN alone would write the whole table."""
    new, identity = change.column, change.column.generated.identity if change.column.generated else None
    sequence = fitted(f"{pieces.new.table(change.table).physical}_{new.name}_seq")
    counter, kind = quoted(sequence), _SERIALS.get(new.type.lower(), new.type)
    words = f" {identity.sequence_options}" if identity else ""
    pieces = pieces.plus(
        expand=(f"CREATE SEQUENCE {counter} AS {kind}{words}",), rollback=(f"DROP SEQUENCE IF EXISTS {counter}",)
    )
    following = f"nextval({literal(counter)})"
    plain = new.model_copy(update={"type": kind, "generated": None, "default": following, "nullable": False})
    pieces = _add_column(change.model_copy(update={"column": plain, "up": change.up or following}), pieces)
    table = pieces.new.table(change.table)
    base, name = quoted(table.physical), quoted(table.columns[new.name].physical)
    if identity is None:
        return pieces.plus(contract=(f"ALTER SEQUENCE {counter} OWNED BY {base}.{name}",))
    column = literal(table.columns[new.name].physical)
    final = (
        f"DO $$ DECLARE at record; BEGIN SELECT last_value, is_called INTO at FROM {counter}; "  # noqa: S608
        f"ALTER TABLE {base} ALTER {name} DROP DEFAULT; DROP SEQUENCE {counter} CASCADE; "
        f"ALTER TABLE {base} ALTER {name} ADD GENERATED {identity.user_specified_values} AS IDENTITY"
        f"{f' ({identity.sequence_options})' if identity.sequence_options else ''}; "
        f"PERFORM setval(pg_get_serial_sequence({literal(base)}, {column}), at.last_value, at.is_called); "
        "END $$"
    )
    return pieces.plus(contract=(final,))
