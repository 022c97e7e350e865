"""Operations of one change that are about something the same change adds: told as if it had been added so. Pure."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hitless.database import operations as m
from hitless.database.constraints import put_in, words_of
from hitless.database.migration import Operation
from hitless.database.names import quoted
from hitless.database.twice import unqualified
from hitless.kit.errors import Refused

_SHAPE = {"type", "nullable", "default", "up", "down", "on_unmappable"}
_RULES = ("check", "unique", "references")


def folded(operations: Iterable[Operation]) -> list[Operation]:
    """Add each column as operations after it want it; what they ask for besides (a check, a key) stays where it is.

    A constraint that is made and dropped is left out. Raises Refused `changed-twice` where that cannot be.
    """
    done: list[Operation] = []
    coming = deque(operations)
    while coming:
        operation = coming.popleft()
        change = operation.change
        if isinstance(change, m.DropConstraint | m.DropMulticolumnConstraint):
            done, mappings = _without(change, done, operation)
            coming.extendleft(reversed(mappings))
            continue
        found = _added(change, done) if isinstance(change, m.AlterColumn) else None
        if found is None:
            done.append(operation)
            continue
        done[found.place] = Operation(add_column=_altered(done[found.place].change, found))
        rest = {name: getattr(change, name) for name in change.model_fields_set - _SHAPE}
        if rest.keys() - {"table", "column"}:
            done.append(Operation(alter_column=m.AlterColumn(**rest)))
    return done


@dataclass(frozen=True, slots=True, kw_only=True)
class _Earlier:
    """A later alter_column, told in the names that were in force when its column was added."""

    place: int
    change: m.AlterColumn
    renamed: tuple[tuple[str, str], ...] = field(default=())  # from, to; the last one first

    def before(self, old: str, new: str) -> "_Earlier":
        """Go back past a rename."""
        return replace(self, renamed=(*self.renamed, (old, new)))

    def told(self, expression: str) -> str:
        """Put the names that columns and tables had then into an expression."""
        expression = unqualified(expression, self.change.table)
        for old, new in self.renamed:
            expression = put_in(expression, new, quoted(old))
        return expression


def _added(change: m.AlterColumn, done: list[Operation]) -> _Earlier | None:
    """Return where the column was added; None where it was there before, or something stands in between."""
    table, column, found = change.table, change.column, _Earlier(place=-1, change=change)
    for place in range(len(done) - 1, -1, -1):
        match done[place].change:
            case m.AddColumn(table=name, column=each) if name == table and each.name == column:
                return None if each.generated else replace(found, place=place)
            case m.RenameColumn(table=name) as rename if name == table:
                found = found.before(rename.from_, rename.to)
                column = rename.from_ if rename.to == column else column
            case m.RenameTable(to=name) as rename if name == table:
                table, found = rename.from_, found.before(rename.from_, rename.to)
            case m.RawSql():
                return None
            case m.ShadowTable(table=name) | m.CreateTable(name=name) if name == table:
                return None
            case m.DropColumn(table=name, column=gone) if name == table and gone == column:
                return None
            case other if column in _read(other) and (change.type is not None or change.up is not None):
                return None  # it read the column as it was in between
            case _:
                pass
    return None


def _read(change: Any) -> frozenset[str]:
    """Return the names that the mappings of an operation read."""
    mappings = (getattr(change, way, None) for way in ("up", "down"))
    texts = [text for each in mappings for text in (each.values() if isinstance(each, Mapping) else (each,)) if text]
    return frozenset[str]().union(*(words_of(each) for each in texts))


def _altered(added: m.AddColumn, found: _Earlier) -> m.AddColumn:
    change, before, given = found.change, added.column, found.change.model_fields_set
    kind = change.type or before.type
    up = added.up
    if change.up is not None or change.type not in (None, before.type):
        value = added.up if added.up is not None else before.default or "NULL"
        wanted = found.told(change.up) if change.up is not None else f"{quoted(before.name)}::{kind}"
        up = put_in(wanted, before.name, f"(({value})::{before.type})")
    nullable = before.nullable if change.nullable is None else change.nullable
    default = change.default if "default" in given else before.default
    column = before.model_copy(update={"type": kind, "nullable": nullable, "default": default})
    unmappable = change.on_unmappable or added.on_unmappable
    return added.model_copy(update={"column": column, "up": up, "on_unmappable": unmappable})


Drop = m.DropConstraint | m.DropMulticolumnConstraint


def _without(drop: Drop, done: list[Operation], operation: Operation) -> tuple[list[Operation], list[Operation]]:
    """Leave out a constraint that the change itself has made; returns also the mappings that go with it, which stay."""
    place = next((n for n, each in enumerate(done) if drop.name in _made(drop, each.change)), None)
    if place is None:
        return [*done, operation], []
    maker = done[place].change
    later = [each.change for each in done[place + 1 :]]
    if any(isinstance(each, m.RawSql | m.RenameTable | m.RenameColumn | m.RenameConstraint) for each in later):
        text = f"constraint {drop.name} of {drop.table} is made and dropped in one change"
        raise Refused("changed-twice", text, "leave both out, or put the second one into a change of its own")
    return [*done[:place], *_bare(maker, drop.name), *done[place + 1 :]], list(_mapped(drop, maker))


def _made(drop: Drop, change: object) -> set[str | None]:
    """Return the constraints that an operation makes on the table."""
    match change:
        case m.CreateConstraint(table=drop.table):
            return {change.name}
        case m.AlterColumn(table=drop.table):
            return {each.name for rule in _RULES if (each := getattr(change, rule)) is not None}
        case m.AddColumn(table=drop.table, column=column):
            return {each.name for each in (column.check, column.references) if each is not None}
        case _:
            return set()


def _bare(maker: m.CreateConstraint | m.AlterColumn | m.AddColumn, name: str) -> Iterator[Operation]:
    """Yield what is left of the operation that makes a constraint."""
    match maker:
        case m.CreateConstraint():
            yield from _mappings(maker.table, maker.columns, maker.up, maker.down, maker.on_unmappable)
        case m.AddColumn():
            gone = {rule: None for rule in ("check", "references") if _name(maker.column, rule) == name}
            yield Operation(add_column=maker.model_copy(update={"column": maker.column.model_copy(update=gone)}))
        case m.AlterColumn():
            kept = {each: getattr(maker, each) for each in maker.model_fields_set if _name(maker, each) != name}
            if kept.keys() & {"up", "down"}:
                kept = {"type": None, **kept}  # a mapping alone is something, too
            if kept.keys() - {"table", "column", "on_unmappable"}:
                yield Operation(alter_column=m.AlterColumn(**kept))


def _name(change: object, rule: str) -> str | None:
    return getattr(getattr(change, rule, None), "name", None) if rule in _RULES else None


def _mapped(drop: Drop, maker: object) -> Iterator[Operation]:
    """Yield the mappings that a dropped constraint asks for."""
    if isinstance(drop, m.DropMulticolumnConstraint):
        columns = tuple(dict.fromkeys((*drop.up, *drop.down)))
        yield from _mappings(drop.table, columns, drop.up, drop.down, drop.on_unmappable)
        return
    columns = maker.columns if isinstance(maker, m.CreateConstraint) else (_column(maker),)
    up = {each: drop.up for each in columns if drop.up is not None}
    down = {each: drop.down for each in columns if drop.down is not None}
    yield from _mappings(drop.table, columns, up, down, drop.on_unmappable)


def _column(maker: object) -> str:
    assert isinstance(maker, m.AlterColumn | m.AddColumn)
    return maker.column if isinstance(maker, m.AlterColumn) else maker.column.name


def _mappings(
    table: str, columns: Iterable[str], up: Mapping[str, str], down: Mapping[str, str], unmappable: m.Unmappable
) -> Iterator[Operation]:
    """Yield what maps columns, where that is more than to take them over."""
    for each in columns:
        both = (up.get(each), down.get(each))
        if any(value is not None and value.strip() not in (each, quoted(each)) for value in both):
            altered = m.AlterColumn(
                table=table, column=each, type=None, up=both[0], down=both[1], on_unmappable=unmappable
            )
            yield Operation(alter_column=altered)
