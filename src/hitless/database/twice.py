"""A column that two operations of one change alter gets one stand-in, whose mappings go through both. Pure."""

import re
from collections.abc import Mapping
from dataclasses import replace

from hitless.database import operations as m
from hitless.database.catalogue import Column, Table
from hitless.database.constraints import put_all_in, put_in, words_of
from hitless.database.names import quoted
from hitless.database.pieces import Fill, Pieces
from hitless.kit.errors import Refused

_QUERY = re.compile(r"\bSELECT\b", re.IGNORECASE)


def original(pieces: Pieces, table: str, physical: str) -> str | None:
    """Return the column of the old side for which a stand-in of this change stands; None: it is none."""
    return next((old for old, new in pieces.replaced.get(table, {}).items() if new == physical), None)


def mapped_through_both(
    pieces: Pieces, name: str, logical: str, kind: str, both: tuple[str, str], unmappable: m.Unmappable
) -> Pieces:
    """Put the mappings of a second operation around those of the first: up after up, and down before down.

    Raises Refused `changed-twice` where a name means something else to either of them.
    """
    table = pieces.new.table(name)
    before = table.columns[logical]
    old = original(pieces, table.physical, before.physical)
    fills = []
    for fill in pieces.fills:
        if fill.table == table.physical and fill.upward and fill.column == before.physical:
            expression = _through(both[0], logical, fill.expression, before, fill)
            written = {each.column for each in pieces.fills if each.table == fill.table and each.upward}
            names = {each: column.physical for each, column in table.columns.items() if column.physical not in written}
            made = replace(fill, expression=expression, row=_both(fill, names, both[0], name), type=kind)
        elif fill.table == table.physical and not fill.upward and fill.column == old:
            once = next(each for each, physical in fill.row.items() if physical == before.physical)
            expression = _through(fill.expression, once, both[1], before, fill)
            names = {each: column.physical for each, column in table.columns.items()}
            made = replace(fill, expression=expression, row=_both(fill, names, both[1], name))
        else:
            if not fill.upward:  # an upward one has what this column follows from in its place
                _unread(fill, before.physical, name)
            fills.append(fill)
            continue
        fills.append(replace(made, unmappable=unmappable or fill.unmappable))
    return replace(pieces, fills=tuple(fills))


def downs_through_both(pieces: Pieces, name: str, logical: str, down: str) -> Pieces:
    """Have a column of the old side follow from a new row that has not even its stand-in, whose mapping up goes.

    Raises Refused `changed-twice` where a name means something else to either mapping.
    """
    table = pieces.new.table(name)
    before = table.columns[logical]
    old = original(pieces, table.physical, before.physical)
    names = {each: column.physical for each, column in table.without(logical).columns.items()}
    fills = []
    for fill in pieces.fills:
        if fill.table == table.physical and not fill.upward and fill.column == old:
            once = next(each for each, physical in fill.row.items() if physical == before.physical)
            row = {each: physical for each, physical in fill.row.items() if each != once}
            made = replace(fill, expression=_through(fill.expression, once, down, before, fill), row=row)
            fills.append(replace(made, row=_both(replace(fill, row=row), names, down, name)))
        elif not (fill.table == table.physical and fill.upward and fill.column == before.physical):
            fills.append(_unread(fill, before.physical, name))
    return replace(pieces, fills=tuple(fills))


def through_others(
    pieces: Pieces, name: str, seen: Table, expression: str, row: Mapping[str, str]
) -> tuple[str, Mapping[str, str]]:
    """Have a mapping up read what other columns of the new side follow from, in their place: the old side lacks them.

    Raises Refused `changed-twice` where a name means something else to either of them.
    """
    ups = {fill.column: fill for fill in pieces.fills if fill.table == seen.physical and fill.upward}
    words = words_of(expression)
    read = {
        each: ups[column.physical] for each, column in seen.columns.items() if column.physical in ups and each in words
    }
    if not read:
        return expression, row
    expression, found = unqualified(expression, name), dict(row)
    kept = words_of(expression) - read.keys()
    for other in read.values():
        inner = {each: column for each, column in other.row.items() if each in words_of(other.expression)}
        if differs := [each for each in inner if found.get(each, inner[each]) != inner[each] and each in kept]:
            raise _unclear(name, f"{differs[0]!r} is not the same column to both")
        found, kept = {**found, **inner}, kept | inner.keys()
    sql = {each: f"(({other.expression})::{seen.columns[each].type})" for each, other in read.items()}
    return put_all_in(expression, sql), found


def _through(outer: str, name: str, inner: str, between: Column, fill: Fill) -> str:
    outer = unqualified(outer, fill.alias)
    if fill.alias in words_of(outer):
        raise _unclear(fill.alias, f"{outer!r} names its table")
    return put_in(outer, name, f"(({inner})::{between.type})")


def unqualified(expression: str, table: str) -> str:
    """Take away the table that stands before its columns; not in a query, where a bare name may be another table's."""
    if _QUERY.search(expression):
        return expression
    names = "|".join(re.escape(each) for each in (table, quoted(table)))
    text = r"'(?:[^']|'')*'"
    return re.sub(rf"({text})|(?<![\w\".])(?:{names})\s*\.\s*", lambda found: found[1] or "", expression)


def _both(fill: Fill, names: Mapping[str, str], more: str, table: str) -> dict[str, str]:
    """Return what a mapping reads that is put together of one before and `more`, which knows columns by `names`."""
    first, second = words_of(fill.expression), words_of(more)
    both = [each for each in names if each in first and each in second]
    if differs := [each for each in both if fill.row.get(each, names[each]) != names[each]]:
        raise _unclear(table, f"{differs[0]!r} is not the same column to both")
    return {**names, **{each: column for each, column in fill.row.items() if each in first or each not in second}}


def _unread(fill: Fill, gone: str, table: str) -> Fill:
    """Raise Refused `changed-twice` where a mapping reads a stand-in that is not made after all."""
    names = [each for each, physical in fill.row.items() if physical == gone]
    if any(each in words_of(fill.expression) for each in names):
        raise _unclear(table, f"{fill.column} follows from {names[0]}")
    return replace(fill, row={each: physical for each, physical in fill.row.items() if each not in names})


def _unclear(table: str, why: str) -> Refused:
    hint = "write it as one operation, or put the second one into a change of its own"
    return Refused("changed-twice", f"{table}: a column is changed twice in one change, and {why}", hint)
