"""Sets of flags and every edit of them in PostgreSQL. The one file of this room that imports psycopg."""

from typing import Any, Self

import psycopg
from psycopg.rows import dict_row

from hitless.flags.definitions import EMPTY, Edit, definition, with_flag
from hitless.flags.flagset import FlagSet
from hitless.kit.errors import HitlessError, InvalidInput

CONNECT_S = 5
STATEMENT_S = 10
LARGEST_SET = 10_000_000  # characters

_SCHEMA = """
CREATE SCHEMA IF NOT EXISTS hitless_flags;
CREATE TABLE IF NOT EXISTS hitless_flags.sets (
    name text PRIMARY KEY,
    document text NOT NULL
);
CREATE TABLE IF NOT EXISTS hitless_flags.edits (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    set_name text NOT NULL REFERENCES hitless_flags.sets (name),
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    who text NOT NULL,
    why text NOT NULL,
    flag text NOT NULL,
    before text NOT NULL,
    after text NOT NULL
);
CREATE INDEX IF NOT EXISTS edits_by_flag ON hitless_flags.edits (set_name, flag, position DESC);
"""


class Definitions:
    """One set, its text as it was imported, and its history."""

    def __init__(self, connection: psycopg.AsyncConnection[dict[str, Any]], name: str) -> None:
        self._connection = connection
        self._name = name

    @classmethod
    async def open(cls, url: str, name: str = "default") -> Self:
        """Connect and make the tables where they lack. Raises HitlessError `store-down`."""
        try:
            connection = await psycopg.AsyncConnection.connect(
                url,
                autocommit=True,
                row_factory=dict_row,
                connect_timeout=CONNECT_S,
                application_name="hitless flags",
                options=f"-c statement_timeout={STATEMENT_S}s",
            )
        except psycopg.OperationalError as error:
            raise HitlessError("store-down", f"the flags' database does not answer: {error}".strip()) from None
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(hashtext('hitless_flags'))")
            await connection.execute(_SCHEMA)
            insert = "INSERT INTO hitless_flags.sets (name, document) VALUES (%s, %s) ON CONFLICT DO NOTHING"
            await connection.execute(insert, (name, EMPTY))
        return cls(connection, name)

    async def close(self) -> None:
        """Disconnect."""
        await self._connection.close()

    async def document(self) -> str:
        """Return the set, letter by letter as it was imported or last edited."""
        return await self._document("SELECT document FROM hitless_flags.sets WHERE name = %s")

    async def replace(self, document: str, *, who: str, why: str) -> FlagSet:
        """Import a whole set. Raises InvalidInput for a text that is none; then nothing has changed."""
        if len(document) > LARGEST_SET:
            text = f"the set has {len(document)} characters"
            raise InvalidInput("flags-too-large", text, f"at most {LARGEST_SET} are taken")
        read = FlagSet.parse(document)
        async with self._connection.transaction():
            before = await self._locked()
            await self._write(document, Edit(who=who, why=why, flag="", before=before, after=document))
        return read

    async def change(self, flag: str, changed: str, *, who: str, why: str) -> str:
        """Define one flag (JSON), or remove it (empty); returns the new document. Raises InvalidInput."""
        async with self._connection.transaction():
            before = await self._locked()
            document = with_flag(before, flag, changed)
            await self._write(
                document, Edit(who=who, why=why, flag=flag, before=definition(before, flag), after=changed)
            )
        return document

    async def history(self, flag: str = "", limit: int = 100) -> list[Edit]:
        """Return the last edits, the newest first; of one flag, those of the whole set are among them."""
        rows = await self._connection.execute(
            "SELECT position, extract(epoch FROM at)::float8 AS at, who, why, flag, before, after"
            " FROM hitless_flags.edits WHERE set_name = %(set)s AND (%(flag)s = '' OR flag IN (%(flag)s, ''))"
            " ORDER BY position DESC LIMIT %(limit)s",
            {"set": self._name, "flag": flag, "limit": limit},
        )
        return [Edit(**row) for row in await rows.fetchall()]

    async def _locked(self) -> str:
        return await self._document("SELECT document FROM hitless_flags.sets WHERE name = %s FOR UPDATE")

    async def _document(self, query: str) -> str:
        row = await (await self._connection.execute(query.encode(), (self._name,))).fetchone()
        return str(row["document"]) if row else EMPTY

    async def _write(self, document: str, edit: Edit) -> None:
        update = "UPDATE hitless_flags.sets SET document = %s WHERE name = %s"
        await self._connection.execute(update, (document, self._name))
        await self._connection.execute(
            "INSERT INTO hitless_flags.edits (set_name, who, why, flag, before, after) VALUES (%s, %s, %s, %s, %s, %s)",
            (self._name, edit.who, edit.why, edit.flag, edit.before, edit.after),
        )
