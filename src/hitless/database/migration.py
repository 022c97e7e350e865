"""The migration file: read and checked, numbered and with a checksum. Pure."""

import hashlib
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any

from hitless.database.operations import (
    AddColumn,
    AddEnumValue,
    AlterColumn,
    CreateConstraint,
    CreateEnum,
    CreateIndex,
    CreateTable,
    DropColumn,
    DropConstraint,
    DropEnum,
    DropIndex,
    DropMulticolumnConstraint,
    DropTable,
    RawSql,
    RenameColumn,
    RenameConstraint,
    RenameTable,
    SetReplicaIdentity,
    ShadowTable,
)
from hitless.kit.errors import InvalidInput
from hitless.plan.document import MIGRATION_NAME, Model, after, before, read

FILE = re.compile(MIGRATION_NAME)


def _moved(value: object) -> object:
    """`from` is a word of Python; it stands in the file and nowhere else."""
    if isinstance(value, dict) and "from" in value:
        return {("from_" if key == "from" else key): each for key, each in value.items()}
    return value


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
    shadow_table: ShadowTable | None = None
    create_enum: CreateEnum | None = None
    drop_enum: DropEnum | None = None
    add_enum_value: AddEnumValue | None = None

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
            hint = "call it NNNN_name.yaml: up to 14 digits, and up to 48 letters, digits, _ and -"
            raise InvalidInput("migration-name", f"{migration.name} is no migration name", hint)
    ordered = tuple(sorted(migrations, key=lambda each: each.number))
    for first, second in pairwise(ordered):
        if first.number == second.number:
            raise InvalidInput(
                "migration-number",
                f"{first.name} and {second.name} have the same number",
                f"rename one of them to {ordered[-1].number + 1:04d}_...",
            )
    return ordered
