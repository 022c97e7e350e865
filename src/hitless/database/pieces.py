"""What operations are compiled to: pieces of SQL by phase, and the fills that keep both sides in step. Pure values."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from hitless.database.catalogue import Catalogue


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """How one column of one side follows from a row of the other."""

    table: str  # physical
    column: str  # physical; what is written
    expression: str  # SQL over `row`
    row: Mapping[str, str]  # logical name -> physical column: what the expression may read
    alias: str  # the table's logical name: the expression may say table.column
    upward: bool  # true: a column of the new side
    type: str = ""  # of the column: a comparison casts to it
    unmappable: Literal["refuse", "record"] | None = None  # None: refuse before the switch, record after it


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """An index that is built beside running writes, outside any transaction."""

    name: str
    table: str
    sql: str
    partitioned: bool = False  # then each partition gets its own, and they are put together
    constraint: str = ""  # of a partitioned table, which takes over the indexes of its partitions at contract
    kind: str = "UNIQUE"  # of that constraint, or PRIMARY KEY
    deferrable: str = ""  # what stands behind it, in SQL
    first: tuple[str, ...] = ()  # what a key needs before that


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadow:
    """A new table of another shape beside the old one; rows are linked by columns that both sides hold."""

    old: str  # physical
    new: str  # physical, until contract
    key: tuple[str, ...]  # of the old table
    new_key: tuple[str, ...]
    link: tuple[tuple[str, str], ...]  # (old column, new column): how rows of both sides find each other
    ups: tuple[Fill, ...]
    downs: tuple[Fill, ...]
    shape: Literal["one", "split", "merge"] = "one"
    split_by: str | None = None  # SQL that gives several values; the mappings read them as `part`, numbered by `place`
    held: tuple[Fill, ...] = ()  # columns of the new table, until contract, for old keys that no other one holds
    loose: bool = False  # no index can have the links be unique: they are not all that partitions are made by
    own_triggers: bool = False  # the user's, on the old table, that see a row before it is written


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieces:
    """The SQL of one change by phase, in order, with both catalogues it leads from and to."""

    old: Catalogue
    new: Catalogue
    expand: tuple[str, ...] = ()
    guards: tuple[str, ...] = ()  # constraints, after the triggers; not yet validated
    builds: tuple[Build, ...] = ()
    late: tuple[str, ...] = ()  # after the backfill, each in a short transaction; safe to run again
    validate: tuple[str, ...] = ()  # after the backfill
    prepare: tuple[str, ...] = ()  # contract, before columns go
    contract: tuple[str, ...] = ()  # over the names that columns have until then; renames follow
    named: tuple[str, ...] = ()  # contract, when each constraint is there under the name that it was given first
    last: tuple[str, ...] = ()  # contract, when everything has its new name
    rollback: tuple[str, ...] = ()  # runs in reverse order
    fills: tuple[Fill, ...] = ()
    defaults: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # new side: physical table -> column -> SQL
    replaced: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # table -> old physical -> new physical
    left_out: tuple[str, ...] = ()  # constraints and indexes that the new side does not have
    created: tuple[str, ...] = ()  # physical tables that this change makes
    constraints: tuple[tuple[str, str], ...] = ()  # (physical table, name) that this change makes
    shadows: tuple[Shadow, ...] = ()
    required: tuple[tuple[str, str], ...] = ()  # (table, column) of the new side that must not be NULL
    checks: tuple[tuple[str, tuple[str, ...], str], ...] = ()  # new: (table, columns it may read, condition), physical
    going: tuple[tuple[str, str | None], ...] = ()  # (table, column or None) that contract drops
    destroys: tuple[str, ...] = ()  # what contract takes away for good

    def plus(self, **more: tuple[object, ...]) -> "Pieces":
        """Add to phases, at their end."""
        return replace(self, **{name: (*getattr(self, name), *each) for name, each in more.items()})  # type: ignore[arg-type]

    def minus(self, other: "Pieces") -> "Pieces":
        """Take back from each phase what stands in the same phase of `other`."""
        phases = ("expand", "guards", "validate", "contract", "rollback", "required", "checks")
        kept = {
            name: tuple(each for each in getattr(self, name) if each not in getattr(other, name)) for name in phases
        }
        return replace(self, **kept)  # type: ignore[arg-type]

    def with_default(self, table: str, column: str, expression: str | None) -> "Pieces":
        """Give a column of the new side its own default, or none; both by physical name, which no rename changes."""
        others = {name: each for name, each in self.defaults.get(table, {}).items() if name != column}
        own = {} if expression is None else {column: expression}
        return replace(self, defaults={**self.defaults, table: {**others, **own}})

    def with_replaced(self, table: str, old: str, new: str) -> "Pieces":
        """Note that a column of a base table gets a stand-in."""
        return replace(self, replaced={**self.replaced, table: {**self.replaced.get(table, {}), old: new}})
