"""The target database: one connection, short transactions, polite locks. The one file here that knows psycopg."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any, Self

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from hitless.database.catalogue import Catalogue, Column, Constraint, Index, Table
from hitless.database.compiled import Compiled
from hitless.database.names import MARK, schema_of
from hitless.database.queries import BLOCKERS, COLUMNS, CONSTRAINTS, INDEXES, SESSIONS, SETUP, VIEWS
from hitless.kit.errors import HitlessError
from hitless.plan.document import decode
from hitless.plan.ports import StepFailed

CONNECT_S = 5
LOCK_TRY_MS = 75  # how long one try may make others wait behind it
LOCK_TOTAL_S = 60.0  # then the blocker is named and the step fails
PAUSE_S = 0.1
_LOCK = 0x68697464  # "hitd": one change at a time in a database

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A client connected to the database."""

    pid: int
    name: str  # application_name
    peer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What the database says about a schema version."""

    version: str
    old_version: str | None
    state: str
    compiled: Compiled | None


class Target:
    """A connection to the database that is changed."""

    def __init__(self, connection: psycopg.AsyncConnection[Row]) -> None:
        self._connection = connection

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str) -> AsyncIterator[Self]:
        """Connect. Raises HitlessError `database-down` if nobody answers within 5 s."""
        try:
            connection = await psycopg.AsyncConnection.connect(
                url,
                autocommit=True,
                row_factory=dict_row,
                connect_timeout=CONNECT_S,
                application_name="hitless",
                options="-c search_path=public",
            )
        except psycopg.OperationalError as error:
            raise HitlessError("database-down", f"the database does not answer: {error}".strip(), "start it") from None
        async with connection:
            target = cls(connection)
            with _as_failure():
                yield target

    async def set_up(self) -> None:
        """Make the room's own tables, unless they are there."""
        async with self._connection.transaction():
            await self._connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            await self.run(SETUP)

    async def run(self, *statements: str) -> int:
        """Run statements in order; returns how many rows the last one has changed."""
        changed = 0
        for statement in statements:
            changed = (await self._connection.execute(statement.encode())).rowcount
        return changed

    async def rows(self, statement: str, *values: object) -> list[Row]:
        """Ask; returns all rows."""
        cursor = await self._connection.execute(statement.encode(), values or None)
        return await cursor.fetchall()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Do several things at once or not at all."""
        async with self._connection.transaction():
            yield

    async def politely(self, tables: tuple[str, ...], work: Any) -> None:
        """Run `work()` in one transaction, taking locks in short tries; never ends anybody's session.

        Looks first who would block. Raises StepFailed `blocked` after 60 s, naming who it is.
        """
        deadline = asyncio.get_running_loop().time() + LOCK_TOTAL_S
        said = "a lock was not given"
        while asyncio.get_running_loop().time() < deadline:
            if blockers := await self.rows(BLOCKERS, list(tables)):
                first = blockers[0]
                said = f"session {first['pid']} has been in a transaction for {first['age_s']:.1f} s: {first['query']}"
                await asyncio.sleep(PAUSE_S)
                continue
            try:
                async with self.transaction():
                    await self.run(f"SET LOCAL lock_timeout = {LOCK_TRY_MS}")
                    await self.rows("SELECT pg_advisory_xact_lock(%s)", _LOCK)
                    await work()
            except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
                await asyncio.sleep(PAUSE_S)
            else:
                return
        raise StepFailed("blocked", f"no lock within {LOCK_TOTAL_S:g} s; {said}", "end that transaction, apply again")

    async def catalogue(self) -> Catalogue:
        """Read the base tables of schema public."""
        tables: dict[str, dict[str, Column]] = {}
        for row in await self.rows(COLUMNS):
            columns = tables.setdefault(row["base"], {})
            if row["name"] != MARK:
                default = None if row["generated"] else row["expression"]
                columns[row["name"]] = Column(
                    physical=row["name"],
                    type=row["type"],
                    nullable=row["nullable"],
                    default=default,
                    generated=row["generated"],
                )
        indexes, keys = await self._indexes()
        constraints: dict[str, list[Constraint]] = {}
        for row in await self.rows(CONSTRAINTS):
            constraints.setdefault(row.pop("base"), []).append(Constraint(**{**row, "columns": tuple(row["columns"])}))
        return Catalogue(
            tables={
                name: Table(
                    physical=name,
                    columns=columns,
                    key=keys.get(name, ()),
                    indexes=tuple(indexes.get(name, ())),
                    constraints=tuple(constraints.get(name, ())),
                )
                for name, columns in tables.items()
            }
        )

    async def _indexes(self) -> tuple[dict[str, list[Index]], dict[str, tuple[str, ...]]]:
        indexes: dict[str, list[Index]] = {}
        keys: dict[str, tuple[str, ...]] = {}
        for row in await self.rows(INDEXES):
            if row["is_primary"]:
                keys[row["base"]] = tuple(row["columns"])
                continue
            index = Index(
                name=row["name"],
                definition=row["definition"],
                unique=row["is_unique"],
                constraint=row["is_constraint"],
            )
            indexes.setdefault(row["base"], []).append(index)
        return indexes, keys

    async def views(self, version: str) -> dict[str, tuple[str, ...]]:
        """Return the columns of each view of a version, in order."""
        rows = await self.rows(VIEWS, schema_of(version))
        return {row["name"]: tuple(row["columns"]) for row in rows}

    async def sessions(self) -> list[Session]:
        """Return who is connected, without ourselves."""
        return [Session(**row) for row in await self.rows(SESSIONS)]

    async def change(self, version: str) -> Change | None:
        """Return what is recorded of a schema version."""
        found = await self.rows(
            "SELECT version, old_version, state, compiled FROM hitless.schema_change WHERE version = %s", version
        )
        if not found:
            return None
        compiled = decode(Compiled, found[0]["compiled"]) if found[0]["compiled"] else None
        return Change(**{**found[0], "compiled": compiled})

    async def record(self, compiled: Compiled) -> None:
        """Write down an expanded change; part of expand's own transaction."""
        await self.rows(
            "INSERT INTO hitless.schema_change (version, old_version, state, compiled) "
            "VALUES (%s, %s, 'expanded', %s) RETURNING 1",
            compiled.version,
            compiled.old_version,
            Jsonb(asdict(compiled)),
        )

    async def set_state(self, version: str, state: str) -> None:
        """Move a change to its next state."""
        await self.rows("UPDATE hitless.schema_change SET state = %s WHERE version = %s RETURNING 1", state, version)


class _as_failure:  # noqa: N801  used as a word: `with _as_failure():`
    """Say what the server said in our own form; what cannot be done is taken back."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        match error:
            case psycopg.OperationalError() if error.sqlstate is None or error.sqlstate.startswith(("08", "57")):
                raise HitlessError(
                    "database-down", f"the connection was lost: {error}".strip(), "it will go on"
                ) from error
            case psycopg.Error():
                said = f"{error.sqlstate}: {error}".strip()
                raise StepFailed("statement-failed", f"PostgreSQL says {said}", "correct the migration") from error
            case _:
                return
