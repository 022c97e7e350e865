"""From operations to pieces of SQL, one operation after another. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hitless.database import migration as m
from hitless.database.catalogue import Column, Table
from hitless.database.constraints import column_definition, table_constraint
from hitless.database.names import fitted, listed, literal, quoted, temporary
from hitless.database.pieces import Build, Fill, Pieces
from hitless.kit.errors import Refused


def compile_operation(operation: m.Operation, pieces: Pieces) -> Pieces:
    """Add one operation. Raises Refused, with nothing touched, where it cannot be right."""
    change = operation.change
    match change:
        case m.CreateTable():
            return _create_table(change, pieces)
        case m.AddColumn():
            return _add_column(change, pieces)
        case m.AlterColumn():
            return _alter_column(change, pieces)
        case m.CreateConstraint():
            return _create_constraint(change, pieces)
        case m.DropConstraint() | m.DropMulticolumnConstraint():
            return _drop_constraint(change, pieces)
        case m.CreateIndex() | m.DropIndex():
            return _index(change, pieces)
        case m.DropColumn() | m.RenameColumn():
            return _column(change, pieces)
        case _:
            return _whole(change, pieces)


def _whole(change: Any, pieces: Pieces) -> Pieces:
    match change:
        case m.DropTable():
            base = pieces.new.table(change.name).physical
            pieces = replace(pieces, new=pieces.new.without(change.name))
            return pieces.plus(contract=(f"DROP TABLE {quoted(base)}",), destroys=(f"table {change.name}",))
        case m.RenameTable():
            table = pieces.new.table(change.from_)
            if change.to in pieces.new.tables:
                raise Refused("name-taken", f"there is a table {change.to!r} already", "choose another name")
            pieces = replace(pieces, new=pieces.new.without(change.from_).with_table(change.to, table))
            return pieces.plus(contract=(f"ALTER TABLE {quoted(table.physical)} RENAME TO {quoted(change.to)}",))
        case m.RenameConstraint():
            base = quoted(pieces.new.table(change.table).physical)
            rename = f"ALTER TABLE {base} RENAME CONSTRAINT {quoted(change.from_)} TO {quoted(change.to)}"
            return pieces.plus(contract=(rename,))
        case m.SetReplicaIdentity():
            base = quoted(pieces.new.table(change.table).physical)
            kind = change.identity.type.upper()
            what = f"USING INDEX {quoted(change.identity.index or '')}" if kind == "INDEX" else kind
            return pieces.plus(contract=(f"ALTER TABLE {base} REPLICA IDENTITY {what}",))
        case m.RawSql(onComplete=True):
            return pieces.plus(contract=(change.up,))
        case m.RawSql():
            return pieces.plus(expand=(change.up,), rollback=(change.down,) if change.down else ())
        case _:
            raise Refused("unknown-operation", f"{type(change).__name__} is no operation", "see docs/database.md")


def _create_table(change: m.CreateTable, pieces: Pieces) -> Pieces:
    if change.name in pieces.new.tables:
        raise Refused("name-taken", f"there is a table {change.name!r} already", "choose another name")
    base = quoted(change.name)
    keys = tuple(each.name for each in change.columns if each.pk)
    body = [column_definition(each, pieces.new) for each in change.columns]
    body += [f"PRIMARY KEY ({listed(keys)})"] if keys else []
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
    create = f"CREATE TABLE {base} ({', '.join(body)})"
    return pieces.plus(expand=(create, *comments), rollback=(f"DROP TABLE IF EXISTS {base}",), created=(change.name,))


def _column(change: m.DropColumn | m.RenameColumn, pieces: Pieces) -> Pieces:
    table = pieces.new.table(change.table)
    base = quoted(table.physical)
    if isinstance(change, m.RenameColumn):
        column = table.column(change.from_, change.table)
        if change.to in table.columns:
            raise Refused("name-taken", f"{change.table} has a column {change.to!r} already", "choose another name")
        pieces = replace(pieces, new=pieces.new.with_table(change.table, table.renamed(change.from_, change.to)))
        rename = f"ALTER TABLE {base} RENAME COLUMN {quoted(column.physical)} TO {quoted(change.to)}"
        return pieces.plus(contract=(rename,))
    column = table.column(change.column, change.table)
    if change.down is None and not (column.nullable or column.default or column.generated):
        raise Refused(
            "down-missing",
            f"{change.table}.{change.column} must not be NULL and has no default: what does the old side get?",
            "give the operation a `down`, for example down: \"''\"",
        )
    shrunk = table.without(change.column)
    pieces = replace(pieces, new=pieces.new.with_table(change.table, shrunk))
    if change.down is not None:
        pieces = _fill(pieces, change.table, shrunk, column.physical, change.down, upward=False)
    gone = f"ALTER TABLE {base} DROP COLUMN {quoted(column.physical)}"
    return pieces.plus(prepare=(gone,), destroys=(f"column {change.table}.{change.column}",))


def _add_column(change: m.AddColumn, pieces: Pieces) -> Pieces:
    table, new = pieces.new.table(change.table), change.column
    if new.name in table.columns or new.pk:
        raise Refused("cannot-add", f"{change.table}.{new.name} is there already, or a key", "choose another name")
    taken = {each.physical for each in table.columns.values()}
    taken |= {
        c.physical for t in pieces.old.tables.values() if t.physical == table.physical for c in t.columns.values()
    }
    physical = temporary(new.name) if new.name in taken else new.name
    base, quick = quoted(table.physical), change.up is None and new.default is not None and "(" not in new.default
    fill = None if quick or new.generated else change.up if change.up is not None else new.default
    if fill is None and not (quick or new.nullable or new.generated):
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
    if fill is not None:
        pieces = _fill(pieces, change.table, table, physical, fill, upward=True)
    table = table.with_column(new.name, column)
    pieces = replace(pieces, new=pieces.new.with_table(change.table, table))
    if physical != new.name:
        pieces = pieces.plus(contract=(f"ALTER TABLE {base} RENAME COLUMN {quoted(physical)} TO {quoted(new.name)}",))
    if new.default is not None and not quick:
        pieces = pieces.with_default(change.table, new.name, new.default)
        pieces = pieces.plus(contract=(f"ALTER TABLE {base} ALTER {quoted(new.name)} SET DEFAULT {new.default}",))
    if new.comment:
        pieces = pieces.plus(contract=(f"COMMENT ON COLUMN {base}.{quoted(new.name)} IS {literal(new.comment)}",))
    if not new.nullable and not new.generated:
        pieces = _not_null(pieces, table.physical, physical, new.name)
    if new.unique:
        wanted = m.ConstraintModel(name=f"{table.physical}_{new.name}_key", type="unique", columns=(new.name,))
        pieces = _constrain(pieces, change.table, wanted)
    return _column_rules(pieces, change.table, new.name, new.check, new.references)


def _alter_column(change: m.AlterColumn, pieces: Pieces) -> Pieces:
    table, given = pieces.new.table(change.table), change.model_fields_set
    column, base = table.column(change.column, change.table), quoted(table.physical)
    nullable = column.nullable if change.nullable is None else change.nullable
    other_default = "default" in given and change.default != column.default
    kind = change.type or column.type
    up, down = change.up or f"{quoted(change.column)}::{kind}", change.down or f"{quoted(change.column)}::{column.type}"
    same = change.type in (None, column.type) and nullable == column.nullable and not other_default
    if not same or not (_is(change.up, change.column) and _is(change.down, change.column)):
        pieces = _stand_in(
            pieces,
            change.table,
            change.column,
            replace(column, type=kind, nullable=nullable, default=change.default if other_default else column.default),
            (up, down),
        )
    if "comment" in given:
        text = "NULL" if change.comment is None else literal(change.comment)
        pieces = pieces.plus(contract=(f"COMMENT ON COLUMN {base}.{quoted(column.physical)} IS {text}",))
    if change.unique:
        wanted = m.ConstraintModel(name=change.unique.name, type="unique", columns=(change.column,))
        pieces = _constrain(pieces, change.table, wanted)
    return _column_rules(pieces, change.table, change.column, change.check, change.references)


def _column_rules(
    pieces: Pieces, table: str, column: str, check: m.NamedCheck | None, references: m.Reference | None
) -> Pieces:
    if check is not None:
        wanted = m.ConstraintModel(name=check.name, type="check", columns=(column,), check=check.constraint)
        pieces = _constrain(pieces, table, wanted)
    if references is not None:
        name = references.name or f"{table}_{column}_fkey"
        key = m.ConstraintModel(name=name, type="foreign_key", columns=(column,), references=references)
        pieces = _constrain(pieces, table, key)
    return pieces


def _create_constraint(change: m.CreateConstraint, pieces: Pieces) -> Pieces:
    table = pieces.new.table(change.table)
    for name in change.columns:
        column = table.column(name, change.table)
        up, down = change.up.get(name), change.down.get(name)
        if not (_is(up, name) and _is(down, name)):
            pieces = _stand_in(pieces, change.table, name, column, (up or quoted(name), down or quoted(name)))
    return _constrain(pieces, change.table, change)


def _drop_constraint(change: m.DropConstraint | m.DropMulticolumnConstraint, pieces: Pieces) -> Pieces:
    table = pieces.new.table(change.table)
    base = quoted(table.physical)
    found = next((each for each in table.constraints if each.name == change.name), None)
    if found is None:
        raise Refused("no-such-constraint", f"{change.table} has no constraint {change.name!r}", "look at its name")
    names = [name for name, each in table.columns.items() if each.physical in found.columns]
    pieces = pieces.plus(left_out=(change.name,))
    changed = False
    for name in names:
        up, down = _of(change.up, name), _of(change.down, name)
        if up is not None or down is not None:
            changed = True
            both = (up or quoted(name), down or quoted(name))
            pieces = _stand_in(pieces, change.table, name, table.columns[name], both)
    if changed:  # the constraint goes with the columns that it is on
        return pieces
    return pieces.plus(contract=(f"ALTER TABLE {base} DROP CONSTRAINT IF EXISTS {quoted(change.name)}",))


def _of(mapping: Mapping[str, str] | str | None, name: str) -> str | None:
    return mapping.get(name) if isinstance(mapping, Mapping) else mapping


def _index(change: m.CreateIndex | m.DropIndex, pieces: Pieces) -> Pieces:
    if isinstance(change, m.DropIndex):
        return pieces.plus(contract=(f"DROP INDEX {quoted(change.name)}",), left_out=(change.name,))
    table = pieces.new.table(change.table)
    parts = []
    for each in change.columns:
        words = [quoted(table.column(each.column, change.table).physical)]
        words += [f"COLLATE {quoted(each.collate)}"] if each.collate else []
        if each.opclass:
            words.append(each.opclass.name + (f" ({', '.join(each.opclass.params)})" if each.opclass.params else ""))
        words += [each.sort or "", f"NULLS {each.nulls}" if each.nulls else ""]
        parts.append(" ".join(word for word in words if word))
    unique = "UNIQUE " if change.unique else ""
    where = f"ON {quoted(table.physical)} USING {change.method} ({', '.join(parts)})"
    storage = f" WITH ({change.storage_parameters})" if change.storage_parameters else ""
    predicate = f" WHERE {change.predicate}" if change.predicate else ""
    create = f"CREATE {unique}INDEX CONCURRENTLY {quoted(change.name)} {where}{storage}{predicate}"
    return pieces.plus(builds=(Build(name=change.name, table=table.physical, sql=create),))


def _constrain(pieces: Pieces, name: str, wanted: m.ConstraintModel) -> Pieces:
    """Add a constraint to the new side: whole on a table that this change makes, else checked later."""
    table = pieces.new.table(name)
    base = quoted(table.physical)
    physical = {logical: column.physical for logical, column in table.columns.items()}
    for each in wanted.columns:
        table.column(each, name)
    definition = table_constraint(wanted, physical, pieces.new)
    drop = f"ALTER TABLE {base} DROP CONSTRAINT IF EXISTS {quoted(wanted.name)}"
    if table.physical in pieces.created:
        return pieces.plus(expand=(f"ALTER TABLE {base} ADD {definition}",))
    match wanted.type:
        case "check" | "foreign_key":
            check = f"ALTER TABLE {base} VALIDATE CONSTRAINT {quoted(wanted.name)}"
            guard = f"ALTER TABLE {base} ADD {definition} NOT VALID"
            return pieces.plus(guards=(guard,), validate=(check,), rollback=(drop,))
        case "unique" | "primary_key":
            index = fitted(f"_hitless_{wanted.name}")
            columns = listed(tuple(physical[each] for each in wanted.columns))
            build = f"CREATE UNIQUE INDEX CONCURRENTLY {quoted(index)} ON {base} ({columns})"
            kind = "UNIQUE" if wanted.type == "unique" else "PRIMARY KEY"
            add = f"ALTER TABLE {base} ADD CONSTRAINT {quoted(wanted.name)} {kind} USING INDEX {quoted(index)}"
            build_ = Build(name=index, table=table.physical, sql=build)
            return pieces.plus(builds=(build_,), contract=(add,))
        case "exclude":
            raise Refused(
                "exclude-locks",
                f"{wanted.name}: an exclusion constraint on a table with rows is built under a lock that stops all use",
                "make it in create_table, or run it as `sql` with onComplete in a window",
            )


def _not_null(pieces: Pieces, base: str, physical: str, final: str) -> Pieces:
    name = fitted(f"_hitless_{final}_not_null")
    table = quoted(base)
    return pieces.plus(
        guards=(f"ALTER TABLE {table} ADD CONSTRAINT {quoted(name)} CHECK ({quoted(physical)} IS NOT NULL) NOT VALID",),
        validate=(f"ALTER TABLE {table} VALIDATE CONSTRAINT {quoted(name)}",),
        contract=(
            f"ALTER TABLE {table} ALTER {quoted(final)} SET NOT NULL",  # no scan: the check proves it
            f"ALTER TABLE {table} DROP CONSTRAINT {quoted(name)}",
        ),
        rollback=(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {quoted(name)}",),
    )


def _stand_in(pieces: Pieces, name: str, logical: str, wanted: Column, both: tuple[str, str]) -> Pieces:
    """Give the new side a column of its own, which takes the place of the old one at contract."""
    table = pieces.new.table(name)
    old = table.columns[logical].physical
    if old in table.key or old.startswith("_hitless_"):
        raise Refused(
            "key-column" if old in table.key else "changed-twice",
            f"{name}.{logical} is part of the key, or is changed twice in one change",
            "change a key with shadow_table; put the second change into a change of its own",
        )
    base, physical = quoted(table.physical), temporary(old)
    altered = table.with_column(logical, replace(wanted, physical=physical))
    pieces = _fill(pieces, name, table, physical, both[0], upward=True)
    pieces = _fill(pieces, name, altered, old, both[1], upward=False)
    pieces = replace(pieces, new=pieces.new.with_table(name, altered)).with_replaced(table.physical, old, physical)
    pieces = pieces.plus(
        expand=(f"ALTER TABLE {base} ADD COLUMN {quoted(physical)} {wanted.type}",),
        rollback=(f"ALTER TABLE {base} DROP COLUMN IF EXISTS {quoted(physical)}",),
        prepare=(f"ALTER TABLE {base} DROP COLUMN {quoted(old)}",),
        contract=(f"ALTER TABLE {base} RENAME COLUMN {quoted(physical)} TO {quoted(old)}",),
        destroys=(f"the old values of {name}.{logical}",),
    )
    if wanted.default is not None:
        pieces = pieces.with_default(name, logical, wanted.default)
        pieces = pieces.plus(contract=(f"ALTER TABLE {base} ALTER {quoted(old)} SET DEFAULT {wanted.default}",))
    return pieces if wanted.nullable else _not_null(pieces, table.physical, physical, old)


def _fill(pieces: Pieces, name: str, seen: Table, column: str, expression: str, *, upward: bool) -> Pieces:
    written = {fill.column for fill in pieces.fills if fill.table == seen.physical and fill.upward}
    row = {
        logical: each.physical
        for logical, each in seen.columns.items()
        if not (upward and each.physical in written)  # an up reads the old side
    }
    fill = Fill(table=seen.physical, column=column, expression=expression, row=row, alias=name, upward=upward)
    return pieces.plus(fills=(fill,))


def _is(expression: str | None, column: str) -> bool:
    """Tell whether an expression is the column itself."""
    return expression is None or expression.strip() in (column, quoted(column))
