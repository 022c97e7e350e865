"""A few connections to PostgreSQL, opened when first needed, replaced when they break."""

import asyncio
import os
import select
from collections.abc import Sequence
from typing import Any

import psycopg

CONNECTIONS = 4
CONNECT_S = 3
QUERY_S = 10.0
PATIENCE_S = 5.0  # for a database that restarts
PAUSE_S = 0.1
LOCK = 6_774_893  # advisory: who makes the tables

Rows = list[tuple[Any, ...]]


class Database:
    """The database at DATABASE_URL; every statement is a transaction of its own."""

    def __init__(self) -> None:
        self._url = os.environ.get("DATABASE_URL", "")
        self._idle: list[psycopg.AsyncConnection[Any]] = []
        self._free = asyncio.Semaphore(CONNECTIONS)

    async def rows(self, sql: str, *values: object, repeatable: bool = True) -> Rows:
        """Run a statement; one that is `repeatable` survives a restart of the database.

        Another is repeated only if it cannot have arrived. Raises psycopg.Error or TimeoutError.
        """
        async with self._free, asyncio.timeout(QUERY_S):
            deadline_s = asyncio.get_running_loop().time() + PATIENCE_S
            while True:
                connection = None
                try:
                    connection = await self._connection()
                    return await _run(connection, sql, values)
                except psycopg.OperationalError:
                    lost = connection is None or connection.closed
                    arrived = connection is not None and not repeatable
                    if not lost or arrived or asyncio.get_running_loop().time() > deadline_s:
                        raise
                    await asyncio.sleep(PAUSE_S)
                finally:
                    if connection is not None and not connection.closed:
                        self._idle.append(connection)

    async def make(self, table: str, *statements: str) -> None:
        """Make a table once, whoever comes first."""
        async with await psycopg.AsyncConnection.connect(self._url, connect_timeout=CONNECT_S) as connection:
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
            found = await (await connection.execute("SELECT to_regclass(%s)", (table,))).fetchone()
            if found is not None and found[0] is None:
                for statement in statements:
                    await connection.execute(statement.encode())

    async def _connection(self) -> psycopg.AsyncConnection[Any]:
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed and not _spoke(connection):
                return connection
            await connection.close()
        return await psycopg.AsyncConnection.connect(
            self._url,
            autocommit=True,
            connect_timeout=CONNECT_S,
            prepare_threshold=None,  # plans outlive neither a change of the schema nor a pooler
        )


def _spoke(connection: psycopg.AsyncConnection[Any]) -> bool:
    """Whether the server said something unasked on an idle connection: that it is going down."""
    ears = select.poll()
    ears.register(connection.fileno(), select.POLLIN)
    return bool(ears.poll(0))


async def _run(connection: psycopg.AsyncConnection[Any], sql: str, values: Sequence[object]) -> Rows:
    cursor = await connection.execute(sql.encode(), values or None)
    return await cursor.fetchall() if cursor.description is not None else []
