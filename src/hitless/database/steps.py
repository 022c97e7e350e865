"""Steps on a database: expand, backfill, verify, contract; withdraw undoes expand. Pure."""

from dataclasses import dataclass
from typing import ClassVar

from hitless.database.migration import Migration, in_order
from hitless.kit.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Expand:
    """Make the new schema version beside the old one, in one short transaction."""

    room: ClassVar[str] = "database"
    kind: ClassVar[str] = "expand"

    database: str
    version: str
    migrations: tuple[Migration, ...]

    def describe(self) -> str:
        """Say in one line what the step does."""
        names = ", ".join(each.name for each in self.migrations)
        return f"expand {self.database} to schema version {self.version} ({names}): both versions live"

    def inverse(self) -> "Withdraw":
        """Return the step that takes the new version away."""
        return Withdraw(database=self.database, version=self.version)

    @property
    def point_of_no_return(self) -> bool:
        """The old side is kept in step until contract: nothing is lost."""
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdraw:
    """Take a schema version away before contract; the old side holds every row."""

    room: ClassVar[str] = "database"
    kind: ClassVar[str] = "withdraw"

    database: str
    version: str
    accept_loss: int = 0  # rows that the old side cannot hold, and that may be given up

    def describe(self) -> str:
        """Say in one line what the step does."""
        return f"take schema version {self.version} of {self.database} away"

    def inverse(self) -> None:
        """It is an inverse itself; the change can be applied again."""

    @property
    def point_of_no_return(self) -> bool:
        """The old side is whole."""
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfill:
    """Fill the new side for all rows in short batches, then build indexes and check constraints."""

    room: ClassVar[str] = "database"
    kind: ClassVar[str] = "backfill"

    database: str
    version: str

    def describe(self) -> str:
        """Say in one line what the step does."""
        return f"backfill schema version {self.version} of {self.database}"

    def inverse(self) -> None:
        """What it fills goes with the columns that expand has added."""

    @property
    def point_of_no_return(self) -> bool:
        """No value of the old side changes."""
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Verify:
    """Compare both sides of every row."""

    room: ClassVar[str] = "database"
    kind: ClassVar[str] = "verify"

    database: str
    version: str
    again: bool = False  # the one before contract: what was found earlier does not count

    def describe(self) -> str:
        """Say in one line what the step does."""
        return f"verify {'again ' if self.again else ''}that both sides of {self.database} hold the same rows"

    def inverse(self) -> None:
        """Nothing has changed."""

    @property
    def point_of_no_return(self) -> bool:
        """Nothing has changed."""
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """From here on the new version is the one that counts: what the old one cannot hold is recorded, not refused."""

    room: ClassVar[str] = "database"
    kind: ClassVar[str] = "switch"

    database: str
    version: str
    on: bool = True

    def describe(self) -> str:
        """Say in one line what the step does."""
        if not self.on:
            return f"switch {self.database} back: the old schema version counts again"
        return f"switch {self.database} to schema version {self.version}; the old one stays in step"

    def inverse(self) -> "Switch":
        """Return the step that switches the other way."""
        return Switch(database=self.database, version=self.version, on=not self.on)

    @property
    def point_of_no_return(self) -> bool:
        """The old side stays in step until contract."""
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """Take the old side away: views, triggers, columns; base tables get the new names."""

    room: ClassVar[str] = "database"
    kind: ClassVar[str] = "contract"

    database: str
    version: str
    destroys: tuple[str, ...] = ()  # what is gone for good afterwards, in words
    after_s: float | None = None  # seconds from the switch until it is done by itself; None: a person asks for it
    flags: tuple[str, ...] = ()  # of the change: they must stand at everyone
    first: bool = False  # of the first `up`: no session can have used what was not there

    def describe(self) -> str:
        """Say in one line what the step does."""
        gone = ", ".join(("the old version", *self.destroys))
        return f"contract {self.database} to schema version {self.version}: {gone} goes"

    def inverse(self) -> None:
        """There is no way back from here."""

    @property
    def point_of_no_return(self) -> bool:
        """The old version's columns and tables are gone afterwards."""
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaSteps:
    """The steps of one change of a database, around the shipping of code."""

    before: tuple[Expand | Backfill | Verify, ...]  # then code ships
    switch: Switch  # when everybody meets the new code
    after: tuple[Verify | Contract, ...]  # behind an approval of its own


def schema_steps(database: str, migrations: tuple[Migration, ...]) -> SchemaSteps:
    """Return the steps of some migrations taken as one change. Raises InvalidInput for a file that cannot be right."""
    ordered = in_order(migrations)
    if not ordered:
        raise InvalidInput(
            "no-migrations", f"the change names no migration for {database}", "name one, or leave it out"
        )
    named = [each.read().version_schema for each in ordered]
    version = named[-1] or ordered[-1].name
    return SchemaSteps(
        before=(
            Expand(database=database, version=version, migrations=ordered),
            Backfill(database=database, version=version),
            Verify(database=database, version=version),
        ),
        switch=Switch(database=database, version=version),
        after=(
            Verify(database=database, version=version, again=True),
            Contract(database=database, version=version),
        ),
    )
