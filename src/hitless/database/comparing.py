"""Comparison of a shadow table with the old one, as SQL: by hash of a range, then row by row. Pure."""

# ruff: noqa: S608  every name that is put in is quoted; expressions are the user's own SQL

from dataclasses import dataclass

from hitless.database.mirror import (
    folded,
    groups,
    key_text,
    listed,
    mapped,
    mapped_rows,
    new_link,
    old_link,
    same,
    split_of,
    walked,
)
from hitless.database.names import MARK, quoted
from hitless.database.pieces import Fill, Shadow
from hitless.database.ranges import Bound, within
from hitless.database.sync import moving

SAID_CHARS = 1000  # of what is told about one row


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A row whose sides do not follow from each other."""

    table: str
    key: tuple[str, ...]  # as texts
    said: str  # each column that differs: what it is and what it should be; the user's data, written into no journal


@dataclass(frozen=True, slots=True, kw_only=True)
class Differing:
    """The rows of a change that differ."""

    listed: tuple[Difference, ...] = ()
    total: int = 0  # how many there are
    at_least: bool = False  # there may be more than `total`


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What the comparison of one range has found."""

    listed: tuple[Difference, ...] = ()
    total: int = 0  # how many rows of the range differ; `listed` has some of them


def _fixed(fills: tuple[Fill, ...]) -> tuple[Fill, ...]:
    return tuple(each for each in fills if not moving(each))


def _row_text(fills: tuple[Fill, ...], alias: str) -> str:
    return "ROW(" + ", ".join(f"{alias}.{quoted(each.column)}" for each in fills) + ")::text"


def hashes(shadow: Shadow, last: Bound, bound: Bound, without: str | None = None) -> str:
    """Write the query for count and hash of both sides of a range: `old_rows, old_hash, new_rows, new_hash`.

    `without`: the version whose listed rows are left out, for they cannot be mapped.
    """
    ups = _fixed(shadow.ups)
    where = within(walked(shadow), last, bound, "_hl_s") + _unlisted(shadow, without, walked(shadow))
    if shadow.shape == "merge":
        old = folded(ups, shadow.old, where, old_link(shadow), typed=True)
    else:
        old = mapped_rows(ups, shadow.old, where, split_of(shadow, upward=True), typed=True)
    link = tuple(dict(shadow.link)[each] for each in walked(shadow))
    new = f"SELECT * FROM {quoted(shadow.new)} AS _hl_s WHERE {within(link, last, bound, '_hl_s')}"
    new += _unlisted(shadow, without, link)
    figures = "count(*) AS {0}_rows, coalesce(sum(hashtextextended({1}, 0)::numeric), 0) AS {0}_hash"
    text = _row_text(ups, "_hl_x")
    return (
        f"SELECT * FROM (SELECT {figures.format('old', text)} FROM ({old}) AS _hl_x) AS _hl_o, "
        f"(SELECT {figures.format('new', text)} FROM ({new}) AS _hl_x) AS _hl_n"
    )


def _unlisted(shadow: Shadow, version: str | None, key: tuple[str, ...]) -> str:
    return "" if version is None else f" AND {key_text(key, '_hl_s')} NOT IN ({listed(shadow, version)})"


def differences(shadow: Shadow, version: str, last: Bound, bound: Bound, limit: int) -> str:
    """Write the query for `key`, `said` and `total` of rows that differ in a range; those that are listed are known."""
    link = tuple(dict(shadow.link)[each] for each in walked(shadow))
    one, many = (shadow.new, shadow.old) if shadow.shape == "merge" else (shadow.old, shadow.new)
    key = new_link(shadow) if shadow.shape == "merge" else shadow.key
    there = key_text(key, "_hl_o")
    known = f"{there} NOT IN ({listed(shadow, version)})"
    where = within(key, last, bound, "_hl_o") if shadow.shape != "merge" else within(link, last, bound, "_hl_o")
    first = _one(shadow, there, where, known) if shadow.shape == "one" else _many(shadow, one, there, where, known)
    other_link = old_link(shadow) if shadow.shape == "merge" else link
    alone = key_text(other_link, "_hl_n")
    pairs = ((f"_hl_n.{quoted(b)}", f"_hl_o.{quoted(a)}") for a, b in zip(key, other_link, strict=True))
    orphans = (
        f"SELECT {alone} AS key, 'only the other side has this row' AS said FROM {quoted(many)} AS _hl_n WHERE "
        f"{within(other_link, last, bound, '_hl_n')} AND NOT EXISTS (SELECT 1 FROM {quoted(one)} AS _hl_o "
        f"WHERE {same(pairs)}) AND {alone} NOT IN ({listed(shadow, version)})"
    )
    return shown(f"{first} UNION ALL {orphans}", limit)


def shown(rows: str, limit: int) -> str:
    """Write the query for some of the rows of a query for `key` and `said`, and for how many there are: `total`."""
    text = f"left(said, {SAID_CHARS:d}) AS said"
    return f"SELECT key, {text}, count(*) OVER () AS total FROM ({rows}) AS _hl_differing LIMIT {limit:d}"


def _one(shadow: Shadow, key: str, where: str, known: str) -> str:
    """Row by row: in each group, the side written last maps to the other; what is known is not mapped again."""
    conditions, said = [], []
    for number, group in enumerate(groups(shadow)):
        side = f"(coalesce(_hl_n.{quoted(MARK)}, 0) >> {2 * number} & 3)"
        for upward in (True, False):
            fills = _fixed(tuple(each for each in group if each.upward is upward))
            for fill in fills:
                source, target = ("_hl_o", "_hl_n") if upward else ("_hl_n", "_hl_o")
                should, have = f"({mapped((fill,), source, typed=True)})", f"{target}.{quoted(fill.column)}"
                condition = f"({side} = {0 if upward else 1} AND {have} IS DISTINCT FROM {should})"
                conditions.append(condition)
                name = "'" + fill.column.replace("'", "''") + "'"
                said.append(
                    f"CASE WHEN {condition} THEN "
                    f"format('%s is %L, should be %L', {name}, {have}::text, {should}::text) END"
                )
    pairs = same((f"_hl_n.{quoted(new)}", f"_hl_o.{quoted(old)}") for old, new in shadow.link)
    missing = f"_hl_n.{quoted(shadow.link[0][1])} IS NULL"
    return (
        f"SELECT {key} AS key, CASE WHEN {missing} THEN 'the new side lacks this row' "
        f"ELSE concat_ws('; ', {', '.join(said) or 'NULL'}) END AS said "
        f"FROM {quoted(shadow.old)} AS _hl_o LEFT JOIN {quoted(shadow.new)} AS _hl_n ON {pairs} "
        f"WHERE {where} AND CASE WHEN {known} THEN {missing} OR {' OR '.join(conditions) or 'false'} ELSE false END"
    )


def differing_row(shadow: Shadow, where: str) -> str:
    """Write the query for rows of a row for a row that are not in step: whoever is listed, too."""
    return _one(shadow, "NULL::text[]", where, "true")


def _many(shadow: Shadow, one: str, key: str, where: str, known: str) -> str:
    """A row and the several that belong to it: in step if either side maps to the other."""
    split = shadow.shape == "split"
    fan, fold = (shadow.ups, shadow.downs) if split else (shadow.downs, shadow.ups)
    fan, fold = _fixed(fan), _fixed(fold)
    many = shadow.new if split else shadow.old
    pairs = shadow.link if split else tuple((new, old) for old, new in shadow.link)  # (of one, of many)
    mine = same((f"_hl_s.{quoted(b)}", f"_hl_o.{quoted(a)}") for a, b in pairs)
    ends = tuple(b for _, b in pairs)
    whole = f"NOT EXISTS (SELECT 1 FROM ({folded(fold, many, mine, ends, typed=True)}) AS _hl_f WHERE "
    whole += " OR ".join(f"_hl_f.{quoted(each.column)} IS DISTINCT FROM _hl_o.{quoted(each.column)}" for each in fold)
    whole = f"({whole or 'false'}) AND EXISTS (SELECT 1 FROM {quoted(many)} AS _hl_s WHERE {mine}))"
    wanted = mapped(fan, "_hl_o", shadow.split_by, typed=True) if shadow.split_by else None
    parts = "false"
    if wanted is not None:
        text = _row_text(fan, "_hl_w")
        have = f"SELECT {text} FROM {quoted(many)} AS _hl_w WHERE {mine.replace('_hl_s.', '_hl_w.')}"
        want = f"SELECT {text} FROM ({wanted}) AS _hl_w"
        parts = f"NOT EXISTS (({want} EXCEPT ALL {have}) UNION ALL ({have} EXCEPT ALL {want}))"
    said = "'neither side follows from the other'"
    differs = f"CASE WHEN {known} THEN NOT ({whole} OR {parts}) ELSE false END"
    return f"SELECT {key} AS key, {said} AS said FROM {quoted(one)} AS _hl_o WHERE {where} AND {differs}"
