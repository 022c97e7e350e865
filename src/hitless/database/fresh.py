"""Columns of a table that the same change makes: nobody uses it yet, so they are at once what they are to be. Pure."""

import re
from dataclasses import replace

from hitless.database import operations as m
from hitless.database.catalogue import Column, Table
from hitless.database.constraints import column_definition, substituted
from hitless.database.indexing import column_rules, constrain
from hitless.database.names import literal, quoted
from hitless.database.pieces import Pieces
from hitless.kit.errors import Refused

_SELECT = re.compile(r"^\s*SELECT\b", re.IGNORECASE)


def is_fresh(pieces: Pieces, name: str) -> bool:
    """Tell whether a change makes a table, and no row of an old one goes into it."""
    table = pieces.new.table(name)
    return table.physical in pieces.created and all(each.new != table.physical for each in pieces.shadows)


def add_at_once(change: m.AddColumn, pieces: Pieces) -> Pieces:
    """Add a column; rows are there only if SQL of the same change has put them there."""
    table, new = pieces.new.table(change.table), change.column
    if new.name in table.columns or new.pk:
        raise Refused("cannot-add", f"{change.table}.{new.name} is there already, or a key", "choose another name")
    base, filled = quoted(table.physical), change.up is not None and new.generated is None
    bare = new.model_copy(update={"references": None, "check": None, "nullable": new.nullable or filled})
    statements = [f"ALTER TABLE {base} ADD COLUMN {column_definition(bare, pieces.new)}"]
    if filled:
        statements.append(_filled(table, new.name, str(change.up)))
        statements += [] if new.nullable else [f"ALTER TABLE {base} ALTER {quoted(new.name)} SET NOT NULL"]
    if new.comment:
        statements.append(f"COMMENT ON COLUMN {base}.{quoted(new.name)} IS {literal(new.comment)}")
    column = Column(physical=new.name, type=new.type, nullable=new.nullable, generated=new.generated is not None)
    pieces = replace(pieces, new=pieces.new.with_table(change.table, table.with_column(new.name, column)))
    return column_rules(pieces.plus(expand=tuple(statements)), change.table, new.name, new.check, new.references)


def alter_at_once(change: m.AlterColumn, pieces: Pieces) -> Pieces:
    """Give a column another type, default, rule or comment."""
    table, given = pieces.new.table(change.table), change.model_fields_set
    column = table.column(change.column, change.table)
    alter = f"ALTER TABLE {quoted(table.physical)} ALTER {quoted(column.physical)}"
    statements = _typed(change, table, alter)
    if "default" in given:
        what = "DROP DEFAULT" if change.default is None else f"SET DEFAULT {change.default}"
        statements.append(f"{alter} {what}")
    if change.nullable is not None:
        statements.append(f"{alter} {'DROP' if change.nullable else 'SET'} NOT NULL")
    if "comment" in given:
        text = "NULL" if change.comment is None else literal(change.comment)
        statements.append(f"COMMENT ON COLUMN {quoted(table.physical)}.{quoted(column.physical)} IS {text}")
    nullable = column.nullable if change.nullable is None else change.nullable
    wanted = replace(column, type=change.type or column.type, nullable=nullable)
    pieces = replace(pieces, new=pieces.new.with_table(change.table, table.with_column(change.column, wanted)))
    pieces = pieces.plus(expand=tuple(statements))
    if change.unique:
        unique = m.ConstraintModel(name=change.unique.name, type="unique", columns=(change.column,))
        pieces = constrain(pieces, change.table, unique)
    return column_rules(pieces, change.table, change.column, change.check, change.references)


def drop_at_once(change: m.DropColumn, pieces: Pieces) -> Pieces:
    """Take a column away again."""
    table = pieces.new.table(change.table)
    column = table.column(change.column, change.table)
    pieces = replace(pieces, new=pieces.new.with_table(change.table, table.without(change.column)))
    return pieces.plus(expand=(f"ALTER TABLE {quoted(table.physical)} DROP COLUMN {quoted(column.physical)}",))


def _typed(change: m.AlterColumn, table: Table, alter: str) -> list[str]:
    if change.type is None:
        return [_filled(table, change.column, change.up)] if change.up is not None else []
    names = {name: each.physical for name, each in table.columns.items()}
    value = substituted(_SELECT.sub("", change.up or f"{quoted(change.column)}::{change.type}"), names)
    free = [f"{alter} DROP DEFAULT"] if "default" in change.model_fields_set else []  # it may not fit the new type
    return [*free, f"{alter} TYPE {change.type} USING ({value})"]


def _filled(table: Table, logical: str, up: str) -> str:
    names = {name: each.physical for name, each in table.columns.items()}
    column = table.columns[logical].physical if logical in table.columns else logical
    of_ours = "/* hitless */"  # tells it from queries of running code, in the server's statistics
    return f"UPDATE {of_ours} {quoted(table.physical)} SET {quoted(column)} = ({substituted(up, names)})"  # noqa: S608
