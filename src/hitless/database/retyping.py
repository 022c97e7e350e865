"""Keys whose type or value is another one in a shadow table: the new table holds the old key beside its own. Pure."""

import re
from dataclasses import replace

from hitless.database import operations as m
from hitless.database.catalogue import Table
from hitless.database.mirror import reads
from hitless.database.names import fitted, quoted
from hitless.database.pieces import Fill
from hitless.kit.errors import Refused

_KINDS = {
    "number": (
        "smallint int integer bigint int2 int4 int8 serial bigserial smallserial serial2 serial4 serial8 "
        "numeric decimal real float float4 float8 double"
    ),
    "text": "text varchar character char bpchar",
    "uuid": "uuid",
}
_KIND_OF = {name: kind for kind, names in _KINDS.items() for name in names.split()}

Mappings = tuple[tuple[Fill, ...], tuple[Fill, ...], tuple[Fill, ...]]  # up, down, and of what holds old keys


def kind(type_: str) -> str | None:
    """Return what kind of values a type has; None for what is not known here, which PostgreSQL judges."""
    word = re.match(r"\w+", type_.strip().lower())
    return _KIND_OF.get(word[0]) if word and "[" not in type_ else None


def plain(fill: Fill) -> str | None:
    """Return the column that a fill takes over as it is."""
    bare = fill.expression.strip()
    return next((column for name, column in fill.row.items() if bare in (name, quoted(name))), None)


def with_old_keys(change: m.ShadowTable, old: Table, ups: tuple[Fill, ...], downs: tuple[Fill, ...]) -> Mappings:
    """Give the new table a column for each old key column that its own columns do not hold as it is.

    So rows of both sides find each other by equal values. Raises Refused where a mapping of the key is missing.
    """
    _told(change, old)
    held: tuple[Fill, ...] = ()
    for fill in downs if change.rows == "one" else ():
        if fill.column not in old.key or plain(fill) is not None:
            continue
        name = fitted(f"_hitless_key_{fill.column}")
        logical = next(each for each, column in old.columns.items() if column.physical == fill.column)
        up = replace(ups[0], column=name, expression=quoted(logical), type=fill.type)
        held = (*held, replace(fill, table=up.table, column=name))
        ups = (*ups, up)
        taken = replace(fill, expression=quoted(name), row={**fill.row, name: name})
        downs = tuple(taken if each is fill else each for each in downs)
    return ups, downs, held


def _told(change: m.ShadowTable, old: Table) -> None:
    """Raise Refused for a key whose new type PostgreSQL does not make of the old one by itself."""
    for column in change.columns:
        before = old.columns.get(column.name)
        if before is None or before.physical not in old.key:
            continue
        differ = kind(before.type) and kind(column.type) and kind(before.type) != kind(column.type)
        if differ and not (column.name in change.up and column.name in change.down):
            name = column.name
            both = f'up: {{{name}: "{name}::{column.type}"}}, down: {{{name}: "{name}::{before.type}"}}'
            text = f"{change.table}.{name} is {before.type} and would be {column.type}: which row is which?"
            cast = "uuid" not in (kind(before.type), kind(column.type))
            raise Refused("link-missing", text, f"say how, both ways: {both if cast else 'in up and in down'}")


def counting_text(column: m.ColumnModel, old: Table, ups: tuple[Fill, ...]) -> str | None:
    """Return the sequence of an old serial key that a text column takes over."""
    fill = next((each for each in ups if each.column == column.name), None)
    if fill is None or kind(column.type) != "text" or len(reads(fill)) != 1:
        return None
    source = next((each for each in old.columns.values() if each.physical == reads(fill)[0]), None)
    counts = source is not None and source.physical in old.key and not source.generated
    return source.sequence if source is not None and counts else None
