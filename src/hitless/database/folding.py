"""Operations of one change that are about something the same change adds: told as if it had been added so. Pure."""

from collections.abc import Iterable

from hitless.database import operations as m
from hitless.database.constraints import put_in
from hitless.database.migration import Operation
from hitless.database.names import quoted
from hitless.kit.errors import Refused

_SHAPE = {"type", "nullable", "default", "up", "down", "on_unmappable"}


def folded(operations: Iterable[Operation]) -> list[Operation]:
    """Add each column as operations after it want it; what they ask for besides (a check, a key) stays where it is.

    Raises Refused `changed-twice` for a constraint that is made and dropped.
    """
    done: list[Operation] = []
    for operation in operations:
        change = operation.change
        if isinstance(change, m.DropConstraint | m.DropMulticolumnConstraint):
            _refuse_made(change, done)
        place = _added(change, done) if isinstance(change, m.AlterColumn) else None
        if place is None:
            done.append(operation)
            continue
        done[place] = Operation(add_column=_altered(done[place].change, change))
        rest = {name: getattr(change, name) for name in change.model_fields_set - _SHAPE}
        if rest.keys() - {"table", "column"}:
            done.append(Operation(alter_column=m.AlterColumn(**rest)))
    return done


def _added(change: m.AlterColumn, done: list[Operation]) -> int | None:
    """Return where the column was added; None where it was there before, or something stands in between."""
    for place in range(len(done) - 1, -1, -1):
        match done[place].change:
            case m.AddColumn(table=change.table, column=column) if column.name == change.column:
                return None if column.generated else place
            case m.RawSql() | m.RenameTable() | m.ShadowTable(table=change.table):
                return None
            case m.RenameColumn(table=change.table) | m.DropColumn(table=change.table):
                return None
            case _:
                pass
    return None


def _altered(added: m.AddColumn, change: m.AlterColumn) -> m.AddColumn:
    before, given = added.column, change.model_fields_set
    kind = change.type or before.type
    up = added.up
    if change.up is not None or change.type not in (None, before.type):
        value = added.up if added.up is not None else before.default or "NULL"
        wanted = change.up if change.up is not None else f"{quoted(before.name)}::{kind}"
        up = put_in(wanted, before.name, f"(({value})::{before.type})")
    nullable = before.nullable if change.nullable is None else change.nullable
    default = change.default if "default" in given else before.default
    column = before.model_copy(update={"type": kind, "nullable": nullable, "default": default})
    unmappable = change.on_unmappable or added.on_unmappable
    return added.model_copy(update={"column": column, "up": up, "on_unmappable": unmappable})


def _refuse_made(change: m.DropConstraint | m.DropMulticolumnConstraint, done: list[Operation]) -> None:
    for operation in done:
        match operation.change:
            case m.CreateConstraint(table=change.table, name=change.name):
                made = True
            case m.AlterColumn(table=change.table) as altered:
                made = change.name in _names(altered.check, altered.unique, altered.references)
            case m.AddColumn(table=change.table, column=column):
                made = change.name in _names(column.check, column.references)
            case _:
                made = False
        if made:
            text = f"constraint {change.name} of {change.table} is made and dropped in one change"
            raise Refused("changed-twice", text, "leave both out, or put the second one into a change of its own")


def _names(*rules: m.NamedCheck | m.NamedUnique | m.Reference | None) -> set[str | None]:
    return {each.name for each in rules if each is not None}
