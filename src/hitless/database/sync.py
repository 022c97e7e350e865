"""How both sides of a change in one table follow from each other: values, backfill and comparison as SQL. Pure.

Fills that read each other's columns form a group. Each row keeps two bits for each group: which side wrote it last, and
whether the other side cannot hold it. A row is in step if, in each group, the side written last maps to the other.
"""

# ruff: noqa: S608  every name that is put in is quoted; expressions are the user's own SQL

from collections.abc import Mapping
from dataclasses import dataclass, replace

from hitless.database.catalogue import Catalogue, Table
from hitless.database.constraints import words_of
from hitless.database.names import MARK, fitted, quoted
from hitless.database.pieces import Fill, Pieces
from hitless.kit.errors import Refused

GROUPS_LIMIT = 30  # of one table: two bits each in a bigint, and one that says who writes
_MOVING = frozenset(
    [
        "now",
        "random",
        "clock_timestamp",
        "statement_timestamp",
        "transaction_timestamp",
        "timeofday",
        "gen_random_uuid",
        "uuidv4",
        "uuidv7",
        "uuid_generate_v1",
        "uuid_generate_v4",
        "nextval",
        "current_timestamp",
        "current_date",
        "current_time",
        "localtime",
        "localtimestamp",
        "txid_current",
        "pg_current_xact_id",
    ]
)

_EMPTY = {  # what stands for no value in a type, by all of its names
    "0": frozenset({"smallint", "integer", "bigint", "int", "int2", "int4", "int8", "numeric", "decimal", "interval"})
    | {"real", "float", "float4", "float8", "double precision", "money", "oid"},
    "false": frozenset(["boolean", "bool"]),
    "00000000-0000-0000-0000-000000000000": frozenset(["uuid"]),
    "null": frozenset(["json", "jsonb"]),
    "1970-01-01": frozenset(["date"]),
}


Check = tuple[tuple[str, ...], str]  # the columns that it may read, and the condition


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync:
    """The fills of one base table."""

    table: str
    key: tuple[str, ...]
    fills: tuple[Fill, ...]
    computed: Mapping[str, str]  # generated columns: their expressions, as PostgreSQL writes them
    required: tuple[str, ...]  # columns that a fill writes and that must not be NULL
    evidence: tuple[str, ...]  # columns that are NULL unless somebody wrote them: they tell the side of an INSERT
    fillers: Mapping[str, str]  # what a column that must not be NULL gets in a row that its side cannot hold
    checks: tuple[Check, ...] = ()  # of the old side, on columns that fills write
    new_checks: tuple[Check, ...] = ()  # of the new side
    own_triggers: bool = False

    @property
    def ups(self) -> tuple[Fill, ...]:
        """Those of the new side."""
        return tuple(fill for fill in self.fills if fill.upward)

    @property
    def downs(self) -> tuple[Fill, ...]:
        """Those of the old side."""
        return tuple(fill for fill in self.fills if not fill.upward)


def syncs(pieces: Pieces) -> tuple[Sync, ...]:
    """Group the fills by table; each expression sees all names of the side that it reads. Raises Refused."""
    found: dict[str, list[Fill]] = {}
    for fill in pieces.fills:
        catalogue = pieces.old if fill.upward else pieces.new
        seen = {
            name: column.physical
            for table in catalogue.tables.values()
            if table.physical == fill.table
            for name, column in table.columns.items()
        }
        found.setdefault(fill.table, []).append(replace(fill, row={**seen, **fill.row}))
    made = tuple(_sync(pieces, name, tuple(fills)) for name, fills in found.items())
    for sync in made:
        if len(groups(sync)) > GROUPS_LIMIT:
            raise Refused(
                "too-many-columns",
                f"{sync.table}: more than {GROUPS_LIMIT} columns that do not depend on each other change at once",
                "put them into several changes",
            )
    return made


def _sync(pieces: Pieces, name: str, fills: tuple[Fill, ...]) -> Sync:
    old = _physical(pieces.old, name) or _physical(pieces.new, name) or Table(physical=name, columns={})
    columns = {column.physical: column for column in old.columns.values()}
    after = _physical(pieces.new, name) or old
    fresh = {column.physical: column for column in after.columns.values()}
    written = {fill.column for fill in fills}
    downs = [fill.column for fill in fills if not fill.upward]
    new = {column for table, column in pieces.required if table == name}
    held = [each for each in downs if each in columns and not columns[each].nullable]
    forbidding = {each: fresh[each] for each in written & new & fresh.keys()} | {each: columns[each] for each in held}
    checks = tuple(
        (each.columns, each.definition.removeprefix("CHECK ").removesuffix(" NOT VALID").removesuffix(" NO INHERIT"))
        for each in old.constraints
        if each.kind == "c" and set(each.columns) & set(downs)
    )
    return Sync(
        table=name,
        key=old.key,
        fills=fills,
        computed={each.physical: each.expression for each in old.columns.values() if each.expression is not None},
        required=tuple(each for each in written if each in new or each in held),
        evidence=tuple(each for each in written if each not in columns or columns[each].default is None),
        fillers={name: each.default or _neutral(each.type) for name, each in forbidding.items()},
        checks=checks,
        new_checks=tuple((read, condition) for table, read, condition in pieces.checks if table == name),
        own_triggers=old.own_triggers,
    )


def _physical(catalogue: Catalogue, name: str) -> Table | None:
    return next((each for each in catalogue.tables.values() if each.physical == name), None)


def _neutral(kind: str) -> str:
    """Return what stands in a column that must not be NULL where the row of the other side has no value for it."""
    base = kind.partition("(")[0].strip().lower()
    if base.endswith("[]"):
        return f"'{{}}'::{kind}"
    value = next((value for value, names in _EMPTY.items() if base in names), "")
    if base.startswith("timestamp"):
        value = "1970-01-01"
    elif base.startswith("time"):
        value = "00:00"
    return f"'{value}'::{kind}"  # texts; for a type that has no empty value the write is refused


def linked(one: Fill, other: Fill) -> bool:
    """Tell whether one of two fills reads what the other writes."""
    return one.column in read_by(other) or other.column in read_by(one)


def groups(sync: Sync) -> list[list[Fill]]:
    """Put together what is linked: a fill, and those whose columns it reads; in the order of the operations."""
    found: list[list[Fill]] = []
    for fill in sync.fills:
        mine = [group for group in found if any(linked(fill, other) for other in group)]
        found = [group for group in found if group not in mine]
        found.append([each for group in mine for each in group] + [fill])
    return found


def read_by(fill: Fill) -> tuple[str, ...]:
    """Return the physical columns that a fill may read."""
    words = words_of(fill.expression)
    return tuple(sorted({column for name, column in fill.row.items() if name in words or name.lower() in words}))


def touching(sync: Sync, group: list[Fill]) -> tuple[str, ...]:
    """Return the columns whose change concerns a group; a generated one counts as those that it follows from."""
    names = {fill.column for fill in group} | {each for fill in group for each in read_by(fill)}
    for each in tuple(names & sync.computed.keys()):
        names = (names - {each}) | (words_of(sync.computed[each]) & _columns(group))
    return tuple(sorted(names))


def _columns(group: list[Fill]) -> frozenset[str]:
    return frozenset(column for fill in group for column in fill.row.values())


def value(sync: Sync, fill: Fill, source: str) -> str:
    """Write the value of a fill over a row (`source`: NEW, OLD, or an alias of the base table)."""
    words = words_of(fill.expression)
    names = [
        f"{_read(sync, column, source)} AS {quoted(name)}"
        for name, column in fill.row.items()
        if name in words or name.lower() in words
    ]
    row = f"(SELECT {', '.join(names) or 'NULL'}) AS {quoted(fill.alias)}"
    return f"(SELECT ({fill.expression}) FROM {row})"


def _read(sync: Sync, column: str, source: str) -> str:
    """A generated column is not there yet while triggers run: what it follows from is."""
    if column not in sync.computed:
        return f"{source}.{quoted(column)}"
    words = words_of(sync.computed[column])
    known = sorted({each for fill in sync.fills for each in fill.row.values() if each in words})
    inner = ", ".join(f"{source}.{quoted(each)} AS {quoted(each)}" for each in known) or "NULL"
    return f"(SELECT ({sync.computed[column]}) FROM (SELECT {inner}) AS _hl_computed)"


def backfill(sync: Sync) -> str:
    """Write the UPDATE of one batch, without the bounds; rows that a trigger saw are left alone."""
    sets = [f"{quoted(fill.column)} = {direct(sync, fill)}" for fill in sync.ups]
    return f"UPDATE {quoted(sync.table)} AS _hl SET {', '.join(sets)}, {quoted(MARK)} = 0 WHERE {quoted(MARK)} IS NULL"


def direct(sync: Sync, fill: Fill) -> str:
    """Write the value in place where no name differs and no subquery could catch one: it is what makes it fast."""
    words = words_of(fill.expression)
    plain = all(name == column for name, column in fill.row.items() if name in words or name.lower() in words)
    nested = {"select", "SELECT", fill.alias, "_hl", sync.table} & words
    return f"({fill.expression})" if plain and not nested else value(sync, fill, "_hl")


def out_of_step(sync: Sync) -> str:
    """Write the condition of rows that differ: in some group, the side written last does not map to the other."""
    parts = [f"{quoted(MARK)} IS NULL"] if sync.ups else []
    for number, group in enumerate(groups(sync)):
        for upward in (True, False):
            fills = [each for each in group if each.upward is upward and not moving(each)]
            if fills:
                parts.append(f"({_side(number)} = {0 if upward else 1} AND NOT ({_equal(sync, fills)}))")
    return " OR ".join(parts) or "false"


def _side(number: int) -> str:
    return f"(coalesce({quoted(MARK)}, 0) >> {2 * number} & 3)"


def moving(fill: Fill) -> bool:
    """Tell whether an expression gives another value each time: such a one cannot be compared."""
    return bool({each.lower() for each in words_of(fill.expression)} & _MOVING)


def _equal(sync: Sync, fills: list[Fill]) -> str:
    return " AND ".join(f"_hl.{quoted(fill.column)} IS NOT DISTINCT FROM {direct(sync, fill)}" for fill in fills)


def both_values(sync: Sync) -> str:
    """Write what is shown of a row that differs: each column that a fill writes, and what it should be."""
    parts = []
    for number, group in enumerate(groups(sync)):
        for fill in group:
            if not moving(fill):
                wanted = f"{_side(number)} = {0 if fill.upward else 1}"
                should = value(sync, fill, "_hl")
                parts.append(
                    f"CASE WHEN {wanted} AND _hl.{quoted(fill.column)} IS DISTINCT FROM {should} THEN "
                    f"format('%s is %L, should be %L', {_text(fill.column)}, _hl.{quoted(fill.column)}::text, "
                    f"{should}::text) END"
                )
    return f"concat_ws('; ', {', '.join(parts) or 'NULL'})"


def _text(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"


def function_name(schema: str, table: str, which: str) -> str:
    """Name a trigger function of a table, in the schema `hitless`; `schema` is that of the new version's views."""
    return f"hitless.{quoted(fitted(f'{which}_{schema}_{table}'))}"
