"""A column that two operations of one change alter gets one stand-in, whose mappings go through both. Pure."""

from collections.abc import Mapping
from dataclasses import replace

from hitless.database import operations as m
from hitless.database.catalogue import Column
from hitless.database.constraints import put_in, words_of
from hitless.database.pieces import Fill, Pieces
from hitless.kit.errors import Refused


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
            made = replace(fill, expression=expression, row=_both(fill, names, name), type=kind)
        elif fill.table == table.physical and not fill.upward and fill.column == old:
            once = next(each for each, physical in fill.row.items() if physical == before.physical)
            expression = _through(fill.expression, once, both[1], before, fill)
            names = {each: column.physical for each, column in table.columns.items()}
            made = replace(fill, expression=expression, row=_both(fill, names, name))
        else:
            fills.append(fill)
            continue
        fills.append(replace(made, unmappable=unmappable or fill.unmappable))
    return replace(pieces, fills=tuple(fills))


def _through(outer: str, name: str, inner: str, between: Column, fill: Fill) -> str:
    if fill.alias in words_of(outer):
        raise _unclear(fill.alias, f"{outer!r} names its table")
    return put_in(outer, name, f"(({inner})::{between.type})")


def _both(fill: Fill, names: Mapping[str, str], table: str) -> dict[str, str]:
    if differs := [each for each in names if fill.row.get(each, names[each]) != names[each]]:
        raise _unclear(table, f"{differs[0]!r} is not the same column to both")
    return {**names, **fill.row}


def _unclear(table: str, why: str) -> Refused:
    hint = "write it as one operation, or put the second one into a change of its own"
    return Refused("changed-twice", f"{table}: a column is changed twice in one change, and {why}", hint)
