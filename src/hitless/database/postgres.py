"""The target database: one connection, short transactions, polite locks."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Self

import psycopg
from psycopg.pq import TransactionStatus

from hitless.database.connecting import Row, as_failure, connect
from hitless.database.names import PUBLIC, quoted, schemas_in
from hitless.database.queries import BLOCKERS, IS_SET_UP, SETUP, SPACE
from hitless.kit.threads import finish
from hitless.plan.ports import StepFailed

LOCK_TRY_MS = 75  # how long one try may make others wait behind it
LOCK_TOTAL_S = 60.0  # then the blocker is named and the step fails
BLOCKED_TOTAL_S = 5.0  # others have waited behind our tries for this long together: enough
LONG_S = 0.5  # who has been in a transaction for longer is waited for without asking for a lock
PAUSE_S = 0.1
_LOCK = 0x68697464  # "hitd": one change at a time in a database

Guard = Callable[[], None]  # raises Abandon once a newer controller is there


def nobody_else() -> None:
    """Nobody else changes this database."""


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
        self.statement = ""  # the last one that was sent
        self.space = space  # the schema of the base tables
        self.path = path  # in which our session, and the triggers, resolve names
        self.database = connection.info.dbname

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, guard: Guard = nobody_else) -> AsyncIterator[Self]:
        """Connect, past a pooler. Raises HitlessError `database-down` if nobody answers within 5 s, `behind-pooler`.

        `guard` is asked in each transaction that changes the schema; what it raises ends it without a trace.

        The base tables are those of the first schema on the search_path of the URL (or of its role), else `public`.
        """
        with as_failure():
            async with await connect(url) as connection:
                yield await cls._settled(connection, guard)

    @classmethod
    async def _settled(cls, connection: psycopg.AsyncConnection[Row], guard: Guard) -> Self:
        found = await (await connection.execute(SPACE.encode())).fetchone()
        space = str(found["space"]) if found else PUBLIC
        words = schemas_in(str(found["path"]) if found else "")
        others = [each for each in words if each not in ('"$user"', space, quoted(space)) and "hitless_" not in each]
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
            self.statement = statement
            changed = (await self._connection.execute(statement.encode())).rowcount
        return changed

    async def run_at_once(self, *statements: str) -> None:
        """Run statements in order, sent together: no lock is held while the next one is on its way."""
        if statements:
            self.statement = "\n;\n".join(statements)
            await self._connection.execute(self.statement.encode())

    async def rows(self, statement: str, *values: object) -> list[Row]:
        """Ask; returns all rows."""
        self.statement = statement
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
