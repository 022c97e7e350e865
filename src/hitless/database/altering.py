"""A column that is another one in the new version: it gets a stand-in, which takes its place at contract. Pure."""

from collections.abc import Mapping
from dataclasses import replace

from hitless.database import operations as m
from hitless.database.catalogue import Column, Table
from hitless.database.indexing import column_rules, constrain, not_null
from hitless.database.names import literal, quoted, temporary
from hitless.database.pieces import Fill, Pieces
from hitless.database.twice import downs_through_both, mapped_through_both, original, through_others
from hitless.kit.errors import Refused


def alter_column(change: m.AlterColumn, pieces: Pieces) -> Pieces:
    """Compile an alter_column with any of its kinds."""
    table, given = pieces.new.table(change.table), change.model_fields_set
    column, base = table.column(change.column, change.table), quoted(table.physical)
    nullable = column.nullable if change.nullable is None else change.nullable
    other_default = "default" in given and change.default != column.default
    kind = change.type or column.type
    up, down = change.up or f"{quoted(change.column)}::{kind}", change.down or f"{quoted(change.column)}::{column.type}"
    same = change.type in (None, column.type) and nullable == column.nullable and not other_default
    if not same or not (_is(change.up, change.column) and _is(change.down, change.column)):
        wanted = replace(
            column, type=kind, nullable=nullable, default=change.default if other_default else column.default
        )
        pieces = stand_in(pieces, change.table, change.column, wanted, (up, down), change.on_unmappable)
    if "comment" in given:
        text = "NULL" if change.comment is None else literal(change.comment)
        name = quoted(pieces.new.table(change.table).columns[change.column].physical)
        pieces = pieces.plus(contract=(f"COMMENT ON COLUMN {base}.{name} IS {text}",))
    if change.unique:
        wanted_unique = m.ConstraintModel(name=change.unique.name, type="unique", columns=(change.column,))
        pieces = constrain(pieces, change.table, wanted_unique)
    return column_rules(pieces, change.table, change.column, change.check, change.references)


def create_constraint(change: m.CreateConstraint, pieces: Pieces) -> Pieces:
    """Compile a create_constraint; columns with `up` or `down` get stand-ins."""
    table = pieces.new.table(change.table)
    for name in change.columns:
        column = table.column(name, change.table)
        up, down = change.up.get(name), change.down.get(name)
        if not (_is(up, name) and _is(down, name)):
            both = (up or quoted(name), down or quoted(name))
            pieces = stand_in(pieces, change.table, name, column, both, change.on_unmappable)
    return constrain(pieces, change.table, change)


def drop_constraint(change: m.DropConstraint | m.DropMulticolumnConstraint, pieces: Pieces) -> Pieces:
    """Compile the going of a constraint; with `up` or `down`, the new side is free of it at once."""
    table = pieces.new.table(change.table)
    base = quoted(table.physical)
    found = next((each for each in table.constraints if each.name == change.name), None)
    if found is None:
        raise Refused("no-such-constraint", f"{change.table} has no constraint {change.name!r}", "look at its name")
    names = [
        name
        for name, each in table.columns.items()
        if (original(pieces, table.physical, each.physical) or each.physical) in found.columns
    ]
    pieces = pieces.plus(left_out=(change.name,))
    changed = False
    for name in names:
        up, down = _of(change.up, name), _of(change.down, name)
        if up is not None or down is not None:
            changed = True
            both = (up or quoted(name), down or quoted(name))
            pieces = stand_in(pieces, change.table, name, table.columns[name], both, change.on_unmappable)
    if changed:  # the constraint goes with the columns that it is on
        return pieces
    return pieces.plus(contract=(f"ALTER TABLE {base} DROP CONSTRAINT IF EXISTS {quoted(change.name)}",))


def _of(mapping: Mapping[str, str] | str | None, name: str) -> str | None:
    return mapping.get(name) if isinstance(mapping, Mapping) else mapping


def stand_in(
    pieces: Pieces, name: str, logical: str, wanted: Column, both: tuple[str, str], unmappable: m.Unmappable
) -> Pieces:
    """Give the new side a column of its own, which takes the place of the old one at contract."""
    table = pieces.new.table(name)
    before = table.columns[logical]
    if original(pieces, table.physical, before.physical) is not None:
        pieces = mapped_through_both(pieces, name, logical, wanted.type, both, unmappable)
        pieces = pieces.minus(_shaped(Pieces(old=pieces.old, new=pieces.new), name, logical, before))
        return _shaped(pieces, name, logical, replace(wanted, physical=before.physical, sequence=None))
    old = before.physical
    _fit(pieces, table, name, logical)
    base, physical = quoted(table.physical), temporary(old)
    column = replace(wanted, physical=physical, sequence=None)
    altered = table.with_column(logical, column)
    pieces = fill(pieces, name, table, column, both[0], upward=True, unmappable=unmappable)
    pieces = fill(pieces, name, altered, before, both[1], upward=False, unmappable=unmappable)
    owned = f"ALTER SEQUENCE {before.sequence} OWNED BY {base}.{quoted(physical)}"
    pieces = pieces.with_replaced(table.physical, old, physical).plus(
        rollback=(f"ALTER TABLE {base} DROP COLUMN IF EXISTS {quoted(physical)}",),
        prepare=(*([owned] if before.sequence else []), f"ALTER TABLE {base} DROP COLUMN {quoted(old)}"),
        destroys=(f"the old values of {name}.{logical}",),
        going=((table.physical, old),),
    )
    return _shaped(pieces, name, logical, column)


def without_stand_in(pieces: Pieces, change: m.DropColumn) -> Pieces:
    """Drop a column that the same change has altered: what altered it lives on in what the old side gets.

    Raises Refused `changed-twice` where an index or a constraint of this change is on the stand-in.
    """
    name, table = change.table, pieces.new.table(change.table)
    column = table.columns[change.column]
    base, old = quoted(table.physical), original(pieces, table.physical, column.physical)
    pieces = downs_through_both(pieces, name, change.column, change.down if change.down is not None else "NULL")
    pieces = pieces.minus(_shaped(Pieces(old=pieces.old, new=pieces.new), name, change.column, column))
    replaced = {each: to for each, to in pieces.replaced[table.physical].items() if each != old}
    owned = f" OWNED BY {base}.{quoted(column.physical)}"
    pieces = replace(
        pieces,
        new=pieces.new.with_table(name, table.without(change.column)),
        prepare=tuple(each for each in pieces.prepare if not each.endswith(owned)),
        replaced={**pieces.replaced, table.physical: replaced},
    )
    texts = (*pieces.expand, *pieces.guards, *pieces.contract, *(each.sql for each in pieces.builds))
    if any(base in each and quoted(column.physical) in each for each in texts):
        text = f"{name}.{change.column} is altered, gets an index, a rule or a comment, and is dropped in one change"
        raise Refused("changed-twice", text, "leave out what is on the column: it goes anyway")
    pieces = pieces.with_default(table.physical, column.physical, None)
    return pieces.plus(destroys=(f"column {name}.{change.column}",))


def _shaped(pieces: Pieces, name: str, logical: str, column: Column) -> Pieces:
    """Make a stand-in with its type, default and whether it may be NULL."""
    table = pieces.new.table(name)
    base, physical = quoted(table.physical), quoted(column.physical)
    pieces = replace(pieces, new=pieces.new.with_table(name, table.with_column(logical, column)))
    pieces = pieces.plus(expand=(f"ALTER TABLE {base} ADD COLUMN {physical} {column.type}",))
    pieces = pieces.with_default(table.physical, column.physical, column.default)
    if column.default is not None:
        pieces = pieces.plus(contract=(f"ALTER TABLE {base} ALTER {physical} SET DEFAULT {column.default}",))
    return pieces if column.nullable else not_null(pieces, table.physical, column.physical)


def _fit(pieces: Pieces, table: Table, name: str, logical: str) -> None:
    column = table.columns[logical]
    if column.physical in table.key:
        raise Refused("key-column", f"{name}.{logical} is part of the key", "change a key with shadow_table")
    if column.generated:
        raise Refused(
            "generated-column",
            f"{name}.{logical} is filled in by PostgreSQL and cannot stand twice",
            "drop it and add it anew, or use shadow_table",
        )
    before = next((each for each in pieces.old.tables.values() if each.physical == table.physical), None)
    made = before is not None and column.physical not in {each.physical for each in before.columns.values()}
    if column.physical.startswith("_hitless_") or made:
        raise Refused(
            "changed-twice",
            f"{name}.{logical} is changed twice in one change",
            "write it as one operation, or put the second one into a change of its own",
        )


def fill(
    pieces: Pieces,
    name: str,
    seen: Table,
    column: Column,
    expression: str,
    *,
    upward: bool,
    unmappable: m.Unmappable = None,
) -> Pieces:
    """Add how a column follows from a row of the other side, as `seen` shows it."""
    written = {each.column for each in pieces.fills if each.table == seen.physical and each.upward}
    row: Mapping[str, str] = {
        logical: each.physical
        for logical, each in seen.columns.items()
        if not (upward and each.physical in written)  # an up reads the old side
    }
    if upward:
        expression, row = through_others(pieces, name, seen, expression, row)
    made = Fill(
        table=seen.physical,
        column=column.physical,
        expression=expression,
        row=row,
        alias=name,
        upward=upward,
        type=column.type,
        unmappable=unmappable,
    )
    return pieces.plus(fills=(made,))


def _is(expression: str | None, column: str) -> bool:
    """Tell whether an expression is the column itself."""
    return expression is None or expression.strip() in (column, quoted(column))
