"""The journal, the lease and the list of runs in PostgreSQL: one connection, one controller."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import wraps
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any, ParamSpec, Self, TypeVar

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from hitless.kit.errors import Abandon, HitlessError, Refused

Row = dict[str, Any]
P = ParamSpec("P")
T = TypeVar("T")

CONNECT_S = 5
STATEMENT_S = 10
TAKE_OVER_S = 30.0
_LOCK = 0x6869746C  # "hitl": the advisory lock of the one controller


def whole(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Awaitable[T]]:
    """Let a statement end though nobody waits for it any longer: psycopg closes a connection cancelled at a bad moment.

    The lease hangs on the one connection, so a reader who hangs up would end the controller. The server's time-out
    bounds the wait.
    """

    @wraps(method)
    async def run(*args: P.args, **kwargs: P.kwargs) -> T:
        task = asyncio.ensure_future(method(*args, **kwargs))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may be there to hear it
        return await asyncio.shield(task)

    return run


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One line of the journal as it is stored."""

    position: int
    at: float  # seconds since the epoch, the server's clock
    run: str
    fact: str
    body: dict[str, Any]


class Store:
    """The journal's database. A lost connection is the end of this controller: its lease is gone with it."""

    def __init__(self, connection: psycopg.AsyncConnection[Row]) -> None:
        self._connection = connection
        self._busy = asyncio.Lock()
        self._news = asyncio.Condition()
        self.epoch = 0

    @classmethod
    async def open(cls, url: str) -> Self:
        """Connect. Raises HitlessError `store-down` if the server does not answer within 5 s."""
        try:
            connection = await psycopg.AsyncConnection.connect(
                url,
                autocommit=True,
                row_factory=dict_row,
                connect_timeout=CONNECT_S,
                application_name="hitless",
                options=f"-c statement_timeout={STATEMENT_S}s",
            )
        except psycopg.OperationalError as error:
            raise HitlessError("store-down", f"the journal's database does not answer: {error}".strip()) from None
        return cls(connection)

    async def close(self) -> None:
        """Give the lease back and go."""
        await self._connection.close()

    @whole
    async def migrate(self) -> list[int]:
        """Bring the store's own schema up to this code's; returns the numbers of the files that ran."""
        ran = []
        async with self._statement() as connection, connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(%s, 1)", (_LOCK,))
            await connection.execute("CREATE SCHEMA IF NOT EXISTS hitless")
            await connection.execute(
                "CREATE TABLE IF NOT EXISTS hitless.schema_file "
                "(number int PRIMARY KEY, name text NOT NULL, ran_at timestamptz NOT NULL DEFAULT now())"
            )
            known = {row["number"] async for row in await connection.execute("SELECT number FROM hitless.schema_file")}
            for file in _schema_files():
                number = int(file.name.split("_")[0])
                if number not in known:
                    await connection.execute(file.read_text().encode())
                    await connection.execute(
                        "INSERT INTO hitless.schema_file (number, name) VALUES (%s, %s)", (number, file.name)
                    )
                    ran.append(number)
        return ran

    async def take_over(self, holder: dict[str, Any]) -> int:
        """Become the one controller; returns the new epoch. Raises Abandon if another one holds on for 30 s."""
        deadline = asyncio.get_running_loop().time() + TAKE_OVER_S
        while not (await self._one("SELECT pg_try_advisory_lock(%s, 0) AS got", (_LOCK,)))["got"]:
            if asyncio.get_running_loop().time() > deadline:
                raise Abandon("another-controller", f"another controller has held the lease for {TAKE_OVER_S:g} s")
            await asyncio.sleep(0.1)
        row = await self._one(
            "UPDATE hitless.lease SET epoch = epoch + 1, holder = %s RETURNING epoch", (Jsonb(holder),)
        )
        self.epoch = row["epoch"]
        return self.epoch

    @whole
    async def create_run(self, plan: dict[str, Any]) -> str:
        """Begin a run. Raises Refused if one in flight claims the same services."""
        async with self._statement() as connection, connection.transaction():
            await self._fence(connection, "FOR UPDATE")
            cursor = await connection.execute(
                "SELECT run, change, claims FROM hitless.run "
                "WHERE state IN ('running', 'held', 'rollback-incomplete') AND claims && %s LIMIT 1",
                (plan["claims"],),
            )
            if other := await cursor.fetchone():
                both = ", ".join(sorted(set(other["claims"]) & set(plan["claims"])))
                raise Refused(
                    "run-under-way",
                    f"run {other['run']} ({other['change']}) has {both}",
                    f"wait for it (hitless watch {other['run']}) or take it back (hitless abort {other['run']})",
                )
            cursor = await connection.execute(
                "INSERT INTO hitless.run (run, change, plan, claims) "
                "VALUES ('r' || nextval('hitless.run_number'), %s, %s, %s) RETURNING run",
                (plan["change"], Jsonb(plan), plan["claims"]),
            )
            row = await cursor.fetchone()
        return str(row["run"]) if row else ""

    @whole
    async def append(self, run: str, fact: str, body: dict[str, Any], state: str | None) -> Fact:
        """Write one fact and the state that follows from it (None: the state stays).

        Raises Abandon if a newer controller is there.
        """
        async with self._statement() as connection, connection.transaction():
            await self._fence(connection, "FOR SHARE")
            if state is not None:
                await connection.execute(
                    "UPDATE hitless.run SET state = %s WHERE run = %s AND state <> %s", (state, run, state)
                )
            cursor = await connection.execute(
                "INSERT INTO hitless.journal (run, epoch, fact, body) VALUES (%s, %s, %s, %s) "
                "RETURNING position, extract(epoch FROM at)::float8 AS at, run, fact, body",
                (run, self.epoch, fact, Jsonb(body)),
            )
            row = await cursor.fetchone()
        async with self._news:
            self._news.notify_all()
        return Fact(**(row or {}))

    async def keep_evidence(self, run: str, service: str, state: bytes) -> None:
        """Keep what a run has found about a service, in the place of what was kept before. Raises Abandon."""
        async with self._statement() as connection, connection.transaction():
            await self._fence(connection, "FOR SHARE")
            await connection.execute(
                "INSERT INTO hitless.evidence (run, service, state, epoch) VALUES (%s, %s, %s, %s) "
                "ON CONFLICT (run, service) DO UPDATE "
                "SET state = excluded.state, epoch = excluded.epoch, at = clock_timestamp()",
                (run, service, state, self.epoch),
            )

    async def evidence(self, run: str, service: str) -> bytes | None:
        """Return what was kept last; None if nothing was."""
        rows = await self._all("SELECT state FROM hitless.evidence WHERE run = %s AND service = %s", (run, service))
        return bytes(rows[0]["state"]) if rows else None

    async def facts(self, run: str | None, after: int = 0, limit: int = 10_000) -> list[Fact]:
        """Read facts in order, of one run or of all."""
        rows = await self._all(
            "SELECT position, extract(epoch FROM at)::float8 AS at, run, fact, body FROM hitless.journal "
            "WHERE position > %s AND (%s::text IS NULL OR run = %s) ORDER BY position LIMIT %s",
            (after, run, run, limit),
        )
        return [Fact(**row) for row in rows]

    async def links(self, after: int, limit: int = 1000) -> list[Row]:
        """Read the journal as `hitless.store.chain` wants it, from a link on; facts that no link has come last."""
        return await self._all(
            "SELECT c.number, coalesce(c.position, j.position) AS position, j.run, j.epoch, j.fact, "
            "j.body::text AS body, (extract(epoch FROM j.at) * 1000000)::bigint AS at_us, c.hash, "
            "(SELECT encode(sha256(convert_to(r.plan::text, 'UTF8')), 'hex') FROM hitless.run r WHERE r.run = j.run) "
            "AS plan_hash FROM hitless.chain c FULL JOIN hitless.journal j USING (position) "
            "WHERE c.number > %s OR c.number IS NULL ORDER BY c.number NULLS LAST, j.position LIMIT %s",
            (after, limit),
        )

    async def runs(self, *, run: str | None = None, in_flight: bool = False, limit: int = 100) -> list[Row]:
        """List runs, the newest first: run, change, plan, state, created_at."""
        return await self._all(
            "SELECT run, change, plan, state, extract(epoch FROM created_at)::float8 AS created_at FROM hitless.run "
            "WHERE (%s::text IS NULL OR run = %s) AND (NOT %s OR state IN ('running', 'held')) "
            "ORDER BY created_at DESC, run DESC LIMIT %s",
            (run, run, in_flight, limit),
        )

    async def news(self, timeout_s: float) -> None:
        """Wait until a fact was written, or the time is over."""
        async with self._news:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), timeout_s)

    async def ping(self) -> None:
        """Make sure that the connection, and the lease with it, still lives. Raises Abandon."""
        await self._one("SELECT 1 AS alive", ())

    async def _fence(self, connection: psycopg.AsyncConnection[Row], lock: str) -> None:
        statement = {
            "FOR UPDATE": b"SELECT epoch FROM hitless.lease WHERE epoch = %s FOR UPDATE",
            "FOR SHARE": b"SELECT epoch FROM hitless.lease WHERE epoch = %s FOR SHARE",
        }[lock]
        if self.epoch == 0:
            raise Abandon("no-lease", "this controller has not taken over yet, so it writes nothing")
        if await (await connection.execute(statement, (self.epoch,))).fetchone() is None:
            raise Abandon("fenced", f"epoch {self.epoch} was replaced by a newer controller")

    @asynccontextmanager
    async def _statement(self) -> AsyncIterator[psycopg.AsyncConnection[Row]]:
        async with self._busy:
            try:
                yield self._connection
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                raise Abandon("store-lost", f"the journal's database is gone: {error}".strip()) from None

    @whole
    async def _all(self, statement: str, values: Sequence[object]) -> list[Row]:
        async with self._statement() as connection:
            return await (await connection.execute(statement.encode(), values)).fetchall()

    async def _one(self, statement: str, values: Sequence[object]) -> Row:
        return (await self._all(statement, values))[0]


def _schema_files() -> list[Traversable]:
    folder = resources.files("hitless.store").joinpath("schema")
    return sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)


PATH_IS_SET = """
SELECT 1 FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
WHERE d.datname = %s AND s.setrole = 0 AND array_to_string(s.setconfig, ',') ~ '(^|,)search_path='
"""


async def create_database(url: str, name: str, schema: str | None = None) -> None:
    """Create a database beside the one of the url, unless it exists. Raises HitlessError `store-down`.

    `schema` is where its names are looked up and made, unless a setting of the database says already; else in one
    that is called like the role, if there is one, before `public`.
    """
    try:
        connecting = await psycopg.AsyncConnection.connect(url, autocommit=True, connect_timeout=CONNECT_S)
    except psycopg.OperationalError as error:
        raise HitlessError("store-down", f"PostgreSQL does not answer: {error}".strip()) from None
    async with connecting as connection:
        found = await connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
        if await found.fetchone() is None:
            with suppress(psycopg.errors.DuplicateDatabase):
                await connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        if schema is not None and await (await connection.execute(PATH_IS_SET, (name,))).fetchone() is None:
            setting = sql.SQL("ALTER DATABASE {} SET search_path = {}")
            await connection.execute(setting.format(sql.Identifier(name), sql.Identifier(schema)))
