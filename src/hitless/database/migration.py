"""The migration file: pgroll's operations by its names and fields, read and checked. Pure."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal

from hitless.kit.errors import InvalidInput
from hitless.plan.document import Model, after, before, read

FILE = re.compile(r"(?P<number>\d{1,8})_(?P<name>[A-Za-z0-9_-]{1,200})")


def _moved(value: object) -> object:
    """`from` is a word of Python; it stands in the file and nowhere else."""
    if isinstance(value, dict) and "from" in value:
        return {("from_" if key == "from" else key): each for key, each in value.items()}
    return value


class Reference(Model):
    """A foreign key, as a column or a constraint names it."""

    table: str
    name: str | None = None
    column: str | None = None
    columns: tuple[str, ...] = ()
    on_delete: Literal["NO ACTION", "RESTRICT", "CASCADE", "SET NULL", "SET DEFAULT"] = "NO ACTION"
    on_update: Literal["NO ACTION", "RESTRICT", "CASCADE", "SET NULL", "SET DEFAULT"] = "NO ACTION"
    on_delete_set_columns: tuple[str, ...] = ()
    match_type: Literal["SIMPLE", "FULL"] = "SIMPLE"
    deferrable: bool = False
    initially_deferred: bool = False


class NamedCheck(Model):
    """A check on a column."""

    name: str
    constraint: str
    no_inherit: bool = False


class NamedUnique(Model):
    """A unique constraint on a column."""

    name: str


class Identity(Model):
    """How an identity column counts."""

    user_specified_values: Literal["ALWAYS", "BY DEFAULT"] = "ALWAYS"
    sequence_options: str = ""


class Generated(Model):
    """What PostgreSQL fills in itself."""

    expression: str | None = None
    identity: Identity | None = None


class ColumnModel(Model):
    """A column, as create_table and add_column write it."""

    name: str
    type: str
    pk: bool = False
    nullable: bool = False
    unique: bool = False
    default: str | None = None
    comment: str | None = None
    check: NamedCheck | None = None
    references: Reference | None = None
    generated: Generated | None = None


class Exclude(Model):
    """What an exclusion constraint forbids."""

    elements: str
    index_method: str = "gist"
    predicate: str | None = None


class IndexParameters(Model):
    """How the index of a constraint is stored."""

    include_columns: tuple[str, ...] = ()
    storage_parameters: str | None = None
    tablespace: str | None = None


class ConstraintModel(Model):
    """A constraint of a whole table."""

    name: str
    type: Literal["unique", "check", "primary_key", "foreign_key", "exclude"]
    columns: tuple[str, ...] = ()
    check: str | None = None
    no_inherit: bool = False
    deferrable: bool = False
    initially_deferred: bool = False
    nulls_not_distinct: bool = False
    references: Reference | None = None
    exclude: Exclude | None = None
    index_parameters: IndexParameters | None = None


class CreateTable(Model):
    """A new table."""

    name: str
    columns: tuple[ColumnModel, ...]
    comment: str | None = None
    constraints: tuple[ConstraintModel, ...] = ()


class DropTable(Model):
    """A table goes at contract."""

    name: str


class RenameTable(Model):
    """A table gets another name in the new version."""

    from_: str
    to: str


class AddColumn(Model):
    """A column of the new version; `up` fills it from the old row."""

    table: str
    column: ColumnModel
    up: str | None = None


class DropColumn(Model):
    """A column that only the old version has; `down` fills it from the new row."""

    table: str
    column: str
    down: str | None = None


class RenameColumn(Model):
    """A column gets another name in the new version."""

    table: str
    from_: str
    to: str


class AlterColumn(Model):
    """A column is another one in the new version; a key that is absent changes nothing, null takes away."""

    table: str
    column: str
    type: str | None = None
    nullable: bool | None = None
    default: str | None = None
    comment: str | None = None
    check: NamedCheck | None = None
    unique: NamedUnique | None = None
    references: Reference | None = None
    up: str | None = None
    down: str | None = None

    @after
    def _changes_something(self) -> "AlterColumn":
        if not self.model_fields_set - {"table", "column", "up", "down"}:
            raise ValueError("it changes nothing")
        return self


class Opclass(Model):
    """The operator class of one column of an index."""

    name: str
    params: tuple[str, ...] = ()


class IndexColumn(Model):
    """One column of an index."""

    column: str
    collate: str | None = None
    sort: Literal["ASC", "DESC"] | None = None
    nulls: Literal["FIRST", "LAST"] | None = None
    opclass: Opclass | None = None


class CreateIndex(Model):
    """An index, built without blocking writes."""

    name: str
    table: str
    columns: tuple[IndexColumn, ...]
    unique: bool = False
    predicate: str | None = None
    method: Literal["btree", "hash", "gist", "spgist", "gin", "brin"] = "btree"
    storage_parameters: str | None = None


class DropIndex(Model):
    """An index goes at contract."""

    name: str


class CreateConstraint(ConstraintModel):
    """A constraint of the new version; `up` and `down` by column."""

    table: str
    up: Mapping[str, str] = {}
    down: Mapping[str, str] = {}


class DropConstraint(Model):
    """A constraint on one column that only the old version has."""

    table: str
    name: str
    up: str | None = None
    down: str | None = None


class DropMulticolumnConstraint(Model):
    """A constraint that only the old version has."""

    table: str
    name: str
    up: Mapping[str, str] = {}
    down: Mapping[str, str] = {}


class RenameConstraint(Model):
    """A constraint gets another name at contract."""

    table: str
    from_: str
    to: str


class ReplicaIdentity(Model):
    """What logical replication sees of an old row."""

    type: Literal["nothing", "full", "default", "index"]
    index: str | None = None


class SetReplicaIdentity(Model):
    """Set a table's replica identity."""

    table: str
    identity: ReplicaIdentity


class RawSql(Model):
    """SQL as it is; `onComplete` runs it at contract."""

    up: str
    down: str | None = None
    onComplete: bool = False  # noqa: N815  pgroll's word


class Operation(Model):
    """One operation: a mapping with exactly one key."""

    create_table: CreateTable | None = None
    drop_table: DropTable | None = None
    rename_table: Annotated[RenameTable | None, before(_moved)] = None
    add_column: AddColumn | None = None
    drop_column: DropColumn | None = None
    rename_column: Annotated[RenameColumn | None, before(_moved)] = None
    alter_column: AlterColumn | None = None
    create_index: CreateIndex | None = None
    drop_index: DropIndex | None = None
    create_constraint: CreateConstraint | None = None
    drop_constraint: DropConstraint | None = None
    drop_multicolumn_constraint: DropMulticolumnConstraint | None = None
    rename_constraint: Annotated[RenameConstraint | None, before(_moved)] = None
    set_replica_identity: SetReplicaIdentity | None = None
    sql: RawSql | None = None

    @after
    def _is_one(self) -> "Operation":
        if len(self.model_fields_set) != 1 or self.change is None:
            raise ValueError("an operation is a mapping with exactly one key")
        return self

    @property
    def change(self) -> Any:
        """The one operation that is meant."""
        return getattr(self, next(iter(self.model_fields_set)))


class MigrationFile(Model):
    """A migration: its operations, in order."""

    operations: tuple[Operation, ...]
    version_schema: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One migration as a plan carries it: complete, so that a run needs no file any more."""

    name: str  # NNNN_name
    text: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, in hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def number(self) -> int:
        """Where it stands among the others."""
        return int(self.name.split("_")[0])

    def read(self) -> MigrationFile:
        """Check the text. Raises InvalidInput with file, line and path."""
        return read(MigrationFile, self.text, file=f"{self.name}.yaml")


def in_order(migrations: tuple[Migration, ...]) -> tuple[Migration, ...]:
    """Return the migrations by number. Raises InvalidInput for a strange name or a number that two have."""
    for migration in migrations:
        if FILE.fullmatch(migration.name) is None:
            raise InvalidInput("migration-name", f"{migration.name} is no migration name", "call it NNNN_name.yaml")
    ordered = tuple(sorted(migrations, key=lambda each: each.number))
    for first, second in pairwise(ordered):
        if first.number == second.number:
            raise InvalidInput(
                "migration-number",
                f"{first.name} and {second.name} have the same number",
                f"rename one of them to {ordered[-1].number + 1:04d}_...",
            )
    return ordered
