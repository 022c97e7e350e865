"""The operations of a migration file: pgroll's, by its names and fields, and some more. Pure values."""

from collections.abc import Mapping
from typing import Annotated, Literal

from hitless.database.names import NAME_LIMIT
from hitless.database.transaction_words import transaction_control
from hitless.plan.document import Model, after, before

Unmappable = Literal["refuse", "record"] | None  # None: refuse before the switch, record after it


def _fits(name: object) -> object:
    """PostgreSQL would cut it, and nobody would find it under the name that stands in the file."""
    if isinstance(name, str) and len(name.encode()) > NAME_LIMIT:
        raise ValueError(f"{name!r} has {len(name.encode())} bytes, and a name in PostgreSQL at most {NAME_LIMIT}")
    return name


Name = Annotated[str, before(_fits)]  # of something that the operation makes


class Reference(Model):
    """A foreign key, as a column or a constraint names it."""

    table: str
    name: Name | None = None
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

    name: Name
    constraint: str
    no_inherit: bool = False


class NamedUnique(Model):
    """A unique constraint on a column."""

    name: Name


class Identity(Model):
    """How an identity column counts."""

    user_specified_values: Literal["ALWAYS", "BY DEFAULT"] = "ALWAYS"
    sequence_options: str = ""


class Generated(Model):
    """What PostgreSQL fills in itself."""

    expression: str | None = None
    identity: Identity | None = None
    virtual: bool = False  # of an expression: computed when it is read (PostgreSQL 18)


class ColumnModel(Model):
    """A column, as create_table and add_column write it."""

    name: Name
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

    name: Name
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

    name: Name
    columns: tuple[ColumnModel, ...]
    comment: str | None = None
    constraints: tuple[ConstraintModel, ...] = ()


class DropTable(Model):
    """A table goes at contract."""

    name: str


class RenameTable(Model):
    """A table gets another name in the new version."""

    from_: str
    to: Name


class AddColumn(Model):
    """A column of the new version; `up` fills it from the old row."""

    table: str
    column: ColumnModel
    up: str | None = None
    on_unmappable: Unmappable = None


class DropColumn(Model):
    """A column that only the old version has; `down` fills it from the new row."""

    table: str
    column: str
    down: str | None = None
    on_unmappable: Unmappable = None


class RenameColumn(Model):
    """A column gets another name in the new version."""

    table: str
    from_: str
    to: Name


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
    on_unmappable: Unmappable = None

    @after
    def _changes_something(self) -> "AlterColumn":
        if not self.model_fields_set - {"table", "column", "up", "down", "on_unmappable"}:
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


def _as_list(value: object) -> object:
    """Newer files of pgroll have the columns of an index as a mapping from name to the rest, in order."""
    if not isinstance(value, dict):
        return value
    for name, rest in value.items():
        if rest is not None and (not isinstance(rest, dict) or "column" in rest):
            raise ValueError(f"{name!r} stands for a column: behind it collate, sort, nulls, opclass, or nothing")
    return [{"column": name, **(rest or {})} for name, rest in value.items()]


class CreateIndex(Model):
    """An index, built without blocking writes."""

    name: Name
    table: str
    columns: Annotated[tuple[IndexColumn, ...], before(_as_list)]
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
    on_unmappable: Unmappable = None


class DropConstraint(Model):
    """A constraint on one column that only the old version has."""

    table: str
    name: str
    up: str | None = None
    down: str | None = None
    on_unmappable: Unmappable = None


class DropMulticolumnConstraint(Model):
    """A constraint that only the old version has."""

    table: str
    name: str
    up: Mapping[str, str] = {}
    down: Mapping[str, str] = {}
    on_unmappable: Unmappable = None


class RenameConstraint(Model):
    """A constraint gets another name at contract."""

    table: str
    from_: str
    to: Name


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

    @after
    def _stays_in_its_transaction(self) -> "RawSql":
        for sql in (self.up, self.down or ""):
            if (words := transaction_control(sql)) is not None:
                raise ValueError(f"{words} has no place here: all of a migration runs in one transaction of hitless's")
        return self


class ShadowTable(Model):
    """A table gets another shape: a new table beside the old one, kept in step row by row."""

    table: str
    columns: tuple[ColumnModel, ...]
    constraints: tuple[ConstraintModel, ...] = ()
    up: Mapping[str, str] = {}  # new column -> SQL over the old row
    down: Mapping[str, str] = {}  # old column -> SQL over the new row
    rows: Literal["one", "many"] = "one"
    split_by: str | None = None
    merge_on: tuple[str, ...] = ()
    partition_by: str | None = None
    partitions: Mapping[Name, str] = {}
    on_unmappable: Unmappable = None


class CreateEnum(Model):
    """A new enumerated type."""

    name: Name
    values: tuple[str, ...]


class DropEnum(Model):
    """An enumerated type goes at contract."""

    name: str


class AddEnumValue(Model):
    """An enumerated type gets one more value; both versions may use it, and it stays when the change is taken back."""

    name: str
    value: str
    before: str | None = None
    after: str | None = None
