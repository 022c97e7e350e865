"""What operations are compiled to: pieces of SQL by phase, and the fills that keep both sides in step. Pure values."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """An index that is built beside running writes, outside any transaction."""

    name: str
    table: str
    sql: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieces:
    """The SQL of one change by phase, in order, with both catalogues it leads from and to."""

    old: Catalogue
    new: Catalogue
    expand: tuple[str, ...] = ()
    guards: tuple[str, ...] = ()  # constraints, after the triggers; not yet validated
    builds: tuple[Build, ...] = ()
    validate: tuple[str, ...] = ()  # after the backfill
    prepare: tuple[str, ...] = ()  # contract, before columns go
    contract: tuple[str, ...] = ()
    rollback: tuple[str, ...] = ()  # runs in reverse order
    fills: tuple[Fill, ...] = ()
    defaults: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # new side: table -> column -> SQL
    replaced: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # table -> old physical -> new physical
    left_out: tuple[str, ...] = ()  # constraints and indexes that the new side does not have
    created: tuple[str, ...] = ()  # physical tables that this change makes
    destroys: tuple[str, ...] = ()  # what contract takes away for good

    def plus(self, **more: tuple[object, ...]) -> "Pieces":
        """Add to phases, at their end."""
        return replace(self, **{name: (*getattr(self, name), *each) for name, each in more.items()})  # type: ignore[arg-type]

    def with_default(self, table: str, column: str, expression: str) -> "Pieces":
        """Give a column of the new side its own default."""
        return replace(self, defaults={**self.defaults, table: {**self.defaults.get(table, {}), column: expression}})

    def with_replaced(self, table: str, old: str, new: str) -> "Pieces":
        """Note that a column of a base table gets a stand-in."""
        return replace(self, replaced={**self.replaced, table: {**self.replaced.get(table, {}), old: new}})
