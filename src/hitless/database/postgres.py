"""The target database: one connection, short transactions, polite locks. The one file here that knows psycopg."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any, Self

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from hitless.database.catalogue import Catalogue, Column, Constraint, Index, Table
from hitless.database.compiled import Compiled
from hitless.database.names import MARK, PUBLIC, quoted, schema_of
from hitless.database.queries import (
    BLOCKERS,
    COLUMNS,
    CONSTRAINTS,
    GRANTS,
    INDEXES,
    IS_SET_UP,
    PINNED,
    SESSIONS,
    SETUP,
    SPACE,
    VIEWS,
)
from hitless.kit.errors import HitlessError
from hitless.kit.threads import finish
from hitless.plan.document import decode
from hitless.plan.ports import StepFailed

CONNECT_S = 5
LOCK_TRY_MS = 75  # how long one try may make others wait behind it
LOCK_TOTAL_S = 60.0  # then the blocker is named and the step fails
BLOCKED_TOTAL_S = 5.0  # others have waited behind our tries for this long together: enough
LONG_S = 0.5  # who has been in a transaction for longer is waited for without asking for a lock
PAUSE_S = 0.1
_LOCK = 0x68697464  # "hitd": one change at a time in a database

Row = dict[str, Any]
Guard = Callable[[], None]  # raises Abandon once a newer controller is there


def nobody_else() -> None:
    """Nobody else changes this database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A client connected to the database."""

    pid: int
    name: str  # application_name
    peer: str
    role: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What the database says about a schema version."""

    version: str
    old_version: str | None
    state: str
    switched: bool
    compiled: Compiled | None


class Target:
    """A connection to the database that is changed."""

    def __init__(
        self,
        connection: psycopg.AsyncConnection[Row],
        space: str = PUBLIC,
        path: str = PUBLIC,
        guard: Guard = nobody_else,
    ) -> None:
        self._connection = connection
        self._guard = guard
        self.space = space  # the schema of the base tables
        self.path = path  # in which our session, and the triggers, resolve names
        self.database = connection.info.dbname

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, guard: Guard = nobody_else) -> AsyncIterator[Self]:
        """Connect. Raises HitlessError `database-down` if nobody answers within 5 s.

        `guard` is asked in each transaction that changes the schema; what it raises ends it without a trace.

        The base tables are those of the first schema on the search_path of the URL (or of its role), else `public`.
        """
        try:
            connection = await psycopg.AsyncConnection.connect(
                url,
                autocommit=True,
                row_factory=dict_row,
                connect_timeout=CONNECT_S,
                application_name="hitless",
                prepare_threshold=None,  # base tables change under us
            )
        except psycopg.OperationalError as error:
            raise HitlessError("database-down", f"the database does not answer: {error}".strip(), "start it") from None
        async with connection:
            with _as_failure():
                yield await cls._settled(connection, guard)

    @classmethod
    async def _settled(cls, connection: psycopg.AsyncConnection[Row], guard: Guard) -> Self:
        found = await (await connection.execute(SPACE.encode())).fetchone()
        space = str(found["space"]) if found else PUBLIC
        others = [each.strip() for each in str(found["path"] if found else "").split(",")]
        others = [
            each for each in others if each not in ("", '"$user"', space, quoted(space)) and "hitless_" not in each
        ]
        target = cls(connection, space, ", ".join([quoted(space), *others]), guard)
        await target.rows("SELECT set_config('search_path', %s, false)", target.path)
        return target

    async def set_up(self) -> None:
        """Make the room's own tables, unless they are there."""
        if (await self.rows(IS_SET_UP))[0]["there"]:
            return
        async with self._connection.transaction():
            await self._connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            await self.run(SETUP)

    async def run(self, *statements: str) -> int:
        """Run statements in order; returns how many rows the last one has changed."""
        changed = 0
        for statement in statements:
            changed = (await self._connection.execute(statement.encode())).rowcount
        return changed

    async def run_at_once(self, *statements: str) -> None:
        """Run statements in order, sent together: no lock is held while the next one is on its way."""
        if statements:
            await self._connection.execute(";\n".join(statements).encode())

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
        loop = asyncio.get_running_loop()
        deadline, blocked_s, said, short = loop.time() + LOCK_TOTAL_S, 0.0, "a lock was not given", False
        while loop.time() < deadline and blocked_s < BLOCKED_TOTAL_S:
            if blockers := await self.rows(BLOCKERS, 0.0 if short else LONG_S, list(tables)):
                first = blockers[0]
                said = f"session {first['pid']} has been in a transaction for {first['age_s']:.1f} s: {first['query']}"
                if not short:
                    await asyncio.sleep(PAUSE_S)
                    continue
            began = loop.time()
            try:
                await finish(asyncio.ensure_future(self._once(work)))
            except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
                blocked_s += loop.time() - began
                short = not short  # look once at who has it now, whatever its age
                await asyncio.sleep(PAUSE_S)
            else:
                return
        text = f"no lock within {LOCK_TOTAL_S:g} s, {blocked_s:.1f} s of them in tries; {said}"
        raise StepFailed("blocked", text, "end that transaction, apply again")

    async def _once(self, work: Any) -> None:
        """One try, over soon, and not broken off: whoever gives the step up must leave no commit on its way."""
        async with self.transaction():
            await self.run(f"SET LOCAL lock_timeout = {LOCK_TRY_MS}")
            await self.rows("SELECT pg_advisory_xact_lock(%s)", _LOCK)
            self._guard()
            await work()
            self._guard()

    async def hold(self, tables: tuple[str, ...]) -> None:
        """Take all tables at once, for the rest of the transaction: none is held while another is waited for long."""
        there = await self.rows(
            "SELECT name FROM unnest(%s::text[]) AS name WHERE to_regclass(quote_ident(name)) IS NOT NULL ORDER BY 1",
            list(tables),
        )
        if there:
            await self.run(f"LOCK TABLE {', '.join(quoted(row['name']) for row in there)} IN ACCESS EXCLUSIVE MODE")

    async def pins(self) -> dict[str, str]:
        """Return the settings under which mappings are computed: those of our own session."""
        found = {row["name"]: row["setting"] for row in await self.rows(PINNED)}
        return {"search_path": self.path, **found}

    async def grants(self) -> dict[str, tuple[tuple[str, tuple[str, ...]], ...]]:
        """Return who may do what with which table, besides its owner."""
        found: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
        for row in await self.rows(GRANTS):
            found.setdefault(row["base"], []).append((row["role"], tuple(row["rights"])))
        return {base: tuple(each) for base, each in found.items()}

    async def may_set(self, setting: str) -> bool:
        """Tell whether our role may change a setting that is kept for superusers."""
        ask = "current_setting('is_superuser')::bool"
        if self._connection.info.server_version >= 150_000:
            ask += f" OR has_parameter_privilege('{setting}', 'SET')"
        return bool((await self.rows(f"SELECT {ask} AS may"))[0]["may"])

    def hashed(self, password: str, role: str) -> str:
        """Hash a password as the server keeps it, so that no statement and no log holds it as it is."""
        return self._connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()

    async def reset(self, *settings: str) -> None:
        """Give settings of our session their usual values; a connection that is lost needs none."""
        if not self._connection.broken and self._connection.info.transaction_status is not TransactionStatus.INERROR:
            for setting in settings:
                await self.run(f"RESET {setting}")

    async def catalogue(self) -> Catalogue:
        """Read the base tables."""
        marks: dict[str, Row] = {}
        tables: dict[str, dict[str, Column]] = {}
        for row in await self.rows(COLUMNS):
            columns = tables.setdefault(row["base"], {})
            marks[row["base"]] = row
            if row["name"] != MARK:
                default = None if row["generated"] else row["expression"]
                columns[row["name"]] = Column(
                    physical=row["name"],
                    type=row["type"],
                    nullable=row["nullable"],
                    default=default,
                    generated=row["generated"],
                    expression=row["expression"] if row["computed"] else None,
                    sequence=row["sequence"],
                )
        indexes, keys = await self._indexes()
        constraints: dict[str, list[Constraint]] = {}
        for row in await self.rows(CONSTRAINTS):
            columns_ = {name: tuple(row[name]) for name in ("columns", "target_columns")}
            constraints.setdefault(row.pop("base"), []).append(Constraint(**{**row, **columns_}))
        return Catalogue(
            tables={
                name: Table(
                    physical=name,
                    columns=columns,
                    key=keys.get(name, ()),
                    indexes=tuple(indexes.get(name, ())),
                    constraints=tuple(constraints.get(name, ())),
                    partitioned=marks[name]["partitioned"],
                    own_triggers=marks[name]["own_triggers"],
                    secured=marks[name]["secured"],
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
        rows = await self.rows(VIEWS, schema_of(version, self.space))
        return {row["name"]: tuple(row["columns"]) for row in rows}

    async def sessions(self) -> list[Session]:
        """Return who is connected, without ourselves."""
        return [Session(**row) for row in await self.rows(SESSIONS)]

    async def change(self, version: str) -> Change | None:
        """Return what is recorded of a schema version."""
        found = await self.rows(
            "SELECT version, old_version, state, switched, compiled FROM hitless.schema_change "
            "WHERE space = current_schema() AND version = %s",
            version,
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
        await self.rows(
            "UPDATE hitless.schema_change SET state = %s WHERE space = current_schema() AND version = %s RETURNING 1",
            state,
            version,
        )


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
