"""What a schema version looks like: logical tables and columns over the physical ones. Pure values."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

from hitless.kit.errors import Refused

NEAR = 5  # names that are shown where one is not known


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: its place in the base table, and how a version sees it."""

    physical: str
    type: str
    nullable: bool = True
    default: str | None = None
    generated: bool = False  # identity or expression: PostgreSQL fills it in
    expression: str | None = None  # of a generated column
    sequence: str | None = None  # that a serial or identity column owns, as SQL names it
    always: bool = False  # an identity column that nobody may set


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """An index; `constraint` is true for that of a unique constraint."""

    name: str
    definition: str  # as pg_get_indexdef writes it
    unique: bool = False
    constraint: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """A check or foreign key, as pg_get_constraintdef writes it."""

    name: str
    kind: str  # one letter of pg_constraint.contype
    columns: tuple[str, ...]  # physical
    definition: str
    target: str | None = None  # the table that a foreign key points to
    target_columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A base table as one version sees it: columns by logical name, in order."""

    physical: str
    columns: Mapping[str, Column]
    key: tuple[str, ...] = ()  # physical columns of the primary key
    indexes: tuple[Index, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    partitioned: bool = False
    own_triggers: bool = False  # the user's, that see a row before it is written
    secured: bool = False  # row level security

    def column(self, name: str, table: str) -> Column:
        """Return a column. Raises Refused `no-such-column`."""
        if name not in self.columns:
            known = ", ".join(self.columns)
            raise Refused("no-such-column", f"{table} has no column {name!r}", f"it has {known}")
        return self.columns[name]

    def as_seen(self, view: tuple[str, ...]) -> "Table":
        """Put columns in the order in which a view has them; what it does not have comes last."""
        first = {name: self.columns[name] for name in view if name in self.columns}
        return replace(self, columns={**first, **self.columns})

    def with_column(self, name: str, column: Column) -> "Table":
        """Put a column in place, or at the end."""
        return replace(self, columns={**self.columns, name: column})

    def without(self, name: str) -> "Table":
        """Take a column out."""
        return replace(self, columns={each: value for each, value in self.columns.items() if each != name})

    def renamed(self, old: str, new: str) -> "Table":
        """Give a column another name, in its place."""
        return replace(self, columns={new if each == old else each: value for each, value in self.columns.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """All tables of one version by logical name."""

    tables: Mapping[str, Table] = field(default_factory=dict)

    def table(self, name: str) -> Table:
        """Return a table. Raises Refused `no-such-table`."""
        if name not in self.tables:
            near = get_close_matches(name, self.tables, NEAR) or sorted(self.tables)[:NEAR]
            more = f" and {len(self.tables) - len(near)} more" if len(self.tables) > len(near) else ""
            hint = f"there are {', '.join(near)}{more}" if near else "there is none: create_table"
            raise Refused("no-such-table", f"there is no table {name!r}", hint)
        return self.tables[name]

    def as_seen(self, views: Mapping[str, tuple[str, ...]]) -> "Catalogue":
        """Put columns in the order in which the views of a version have them; what no view has comes last."""
        return Catalogue(tables={name: table.as_seen(views.get(name, ())) for name, table in self.tables.items()})

    def with_table(self, name: str, table: Table) -> "Catalogue":
        """Put a table in place."""
        return Catalogue(tables={**self.tables, name: table})

    def without(self, name: str) -> "Catalogue":
        """Take a table out."""
        return Catalogue(tables={each: value for each, value in self.tables.items() if each != name})
