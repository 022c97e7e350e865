"""How the rows of a shadow table follow from the old ones, and the other way round, as SQL. Pure.

Three shapes: `one` (a row for a row), `split` (one old row, several new ones), `merge` (several old rows, one new one).
Where one row becomes several the mapping reads each value of `split_by` as `part`, numbered by `place`; where several
become one its expressions are aggregates.
"""

# ruff: noqa: S608  every name that is put in is quoted; expressions are the user's own SQL

from collections.abc import Iterable

from hitless.database.constraints import words_of
from hitless.database.names import MARK, literal, quoted
from hitless.database.pieces import Fill, Shadow
from hitless.database.ranges import Bound, within

_MINE = "space = current_schema() AND version = {version} AND base = {base}"
WAS = f"SELECT was FROM hitless.unmappable WHERE {_MINE} AND was IS NOT NULL"
LISTED = (
    f"SELECT key FROM hitless.unmappable WHERE {_MINE} UNION ALL {WAS} "
    f"UNION ALL SELECT key FROM hitless.deferred WHERE {_MINE}"
)


def columns_of(fills: tuple[Fill, ...]) -> str:
    """List what a direction writes."""
    return ", ".join(quoted(each.column) for each in fills)


def _row(fills: tuple[Fill, ...], extra: str = "") -> list[tuple[str, str]]:
    words = frozenset().union(*(words_of(each.expression) for each in fills), words_of(extra))
    pairs = {name: column for each in fills for name, column in each.row.items()}
    return [(name, column) for name, column in pairs.items() if name in words or name.lower() in words]


def mapped(fills: tuple[Fill, ...], source: str, split_by: str | None = None, *, typed: bool = False) -> str:
    """Write a query that maps a single row (`source`: NEW, OLD or an alias); `typed` casts, for a comparison."""
    names = ", ".join(f"{source}.{quoted(column)} AS {quoted(name)}" for name, column in _row(fills, split_by or ""))
    return _mapping(fills, f"(SELECT {names or 'NULL'}) AS {quoted(fills[0].alias)}", split_by, typed=typed)


def mapped_rows(
    fills: tuple[Fill, ...], table: str, where: str, split_by: str | None = None, *, lock: str = "", typed: bool = False
) -> str:
    """Write a query that maps all rows of a table under a condition, one by one."""
    names = ", ".join(f"{quoted(column)} AS {quoted(name)}" for name, column in _row(fills, split_by or ""))
    rows = f"(SELECT {names or 'NULL'} FROM {quoted(table)} AS _hl_s WHERE {where}{lock}) AS {quoted(fills[0].alias)}"
    return _mapping(fills, rows, split_by, typed=typed)


def folded(
    fills: tuple[Fill, ...], table: str, where: str, group: tuple[str, ...], *, lock: str = "", typed: bool = False
) -> str:
    """Write a query that maps all rows of a table that agree in `group` to one row."""
    pairs = _row(fills)
    pairs += [(each, each) for each in group if each not in {column for _, column in pairs}]
    names = ", ".join(f"{quoted(column)} AS {quoted(name)}" for name, column in pairs)
    rows = f"(SELECT {names} FROM {quoted(table)} AS _hl_s WHERE {where}{lock}) AS {quoted(fills[0].alias)}"
    logical = {column: name for name, column in pairs}
    grouped = ", ".join(quoted(logical[each]) for each in group)
    return f"{_mapping(fills, rows, typed=typed)} GROUP BY {grouped}"


def _mapping(fills: tuple[Fill, ...], rows: str, split_by: str | None = None, *, typed: bool) -> str:
    values = ", ".join(
        f"({each.expression}){f'::{each.type}' if typed and each.type else ''} AS {quoted(each.column)}"
        for each in fills
    )
    parts = ""
    if split_by is not None:
        numbered = f"SELECT part, row_number() OVER () AS place FROM (SELECT {split_by} AS part) AS _hl_q"
        parts = f", LATERAL ({numbered}) AS _hl_parts"
    return f"SELECT {values} FROM {rows}{parts}"


def same(columns: Iterable[tuple[str, str]]) -> str:
    """Write that pairs of columns are equal."""
    return " AND ".join(f"{one} = {other}" for one, other in columns)


def old_link(shadow: Shadow) -> tuple[str, ...]:
    """Return the columns of the old table that link."""
    return tuple(old for old, _ in shadow.link)


def new_link(shadow: Shadow) -> tuple[str, ...]:
    """Return the columns of the new table that link."""
    return tuple(new for _, new in shadow.link)


def groups(shadow: Shadow) -> list[tuple[Fill, ...]]:
    """Put together what is linked through both directions; a column that is taken over as it is needs no group."""
    found: list[tuple[Fill, ...]] = []
    for fill in (*shadow.ups, *shadow.downs):
        mine = [group for group in found if any(_linked(fill, other) for other in group)]
        found = [group for group in found if group not in mine]
        found.append((*(each for group in mine for each in group), fill))
    return found


def _linked(one: Fill, other: Fill) -> bool:
    return one.upward is not other.upward and (one.column in reads(other) or other.column in reads(one))


def reads(fill: Fill) -> tuple[str, ...]:
    """Return the columns of the other table that a mapping may read."""
    words = words_of(fill.expression)
    return tuple(sorted({column for name, column in fill.row.items() if name in words or name.lower() in words}))


def concerning(group: tuple[Fill, ...], *, old: bool) -> tuple[str, ...]:
    """Return the columns of one table whose change concerns a group."""
    names = {fill.column for fill in group if fill.upward is not old}
    names |= {each for fill in group if fill.upward is old for each in reads(fill)}
    return tuple(sorted(names))


def copy(shadow: Shadow, version: str, last: Bound, bound: Bound) -> str:
    """Write the INSERT of one batch; rows are held for its length, so that none can go away meanwhile.

    A row that is on the new side already, under a key that the old one cannot hold, is not copied again.
    """
    key = shadow.key if shadow.shape != "merge" else old_link(shadow)
    where, lock = within(key, last, bound, "_hl_s"), " FOR KEY SHARE"
    if shadow.shape == "one":
        away = WAS.format(version=literal(version), base=literal(shadow.old))
        where += f" AND {key_text(key, '_hl_s')} NOT IN ({away} AND side = 'new')"
    if shadow.loose:  # no index tells that a row is there: nobody may write the old one meanwhile
        there = same((f"_hl_n.{quoted(new)}", f"_hl_s.{quoted(old)}") for old, new in shadow.link)
        where += f" AND NOT EXISTS (SELECT 1 FROM {quoted(shadow.new)} AS _hl_n WHERE {there})"
        lock = " FOR NO KEY UPDATE OF _hl_s"
    if shadow.shape == "merge":
        query = folded(shadow.ups, shadow.old, where, old_link(shadow), lock=lock)
    else:
        query = mapped_rows(shadow.ups, shadow.old, where, split_of(shadow, upward=True), lock=lock)
    into = f"INSERT INTO {quoted(shadow.new)} ({columns_of(shadow.ups)}, {quoted(MARK)}) OVERRIDING SYSTEM VALUE"
    return f"{into} SELECT _hl_u.*, 0 FROM ({query}) AS _hl_u ON CONFLICT DO NOTHING"


def split_of(shadow: Shadow, *, upward: bool) -> str | None:
    """Return what splits a row on its way in this direction."""
    return shadow.split_by if (shadow.shape == "split") is upward and shadow.shape != "one" else None


def walked(shadow: Shadow) -> tuple[str, ...]:
    """Return the columns of the old table in whose order it is walked."""
    return shadow.key if shadow.shape != "merge" else old_link(shadow)


def listed(shadow: Shadow, version: str) -> str:
    """Write the query of the keys that are known not to map, or not to be in step yet."""
    return LISTED.format(version=literal(version), base=literal(shadow.old))


def key_text(columns: Iterable[str], source: str) -> str:
    """Write a key as an array of texts."""
    return "ARRAY[" + ", ".join(f"{source}.{quoted(each)}::text" for each in columns) + "]::text[]"
