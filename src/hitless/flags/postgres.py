"""Sets of flags, their edits, and those to come, in PostgreSQL. The one file of this room that imports psycopg."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

import psycopg
from psycopg.rows import dict_row

from hitless.flags.bucketing import Bucketing
from hitless.flags.bundle import DEFAULT
from hitless.flags.definitions import EMPTY, Edit, definition, refuse_bad, with_flag
from hitless.flags.edits import Wish
from hitless.flags.flagset import FlagSet
from hitless.flags.plain import plain
from hitless.flags.schema import SCHEMA
from hitless.flags.stages import Members
from hitless.kit.errors import Abandon, HitlessError, InvalidInput

CONNECT_S = 5
STATEMENT_S = 10
LARGEST_SET = 10_000_000  # characters
SCHEDULED = 1000  # edits to come, of all sets
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,60}(@[a-z][a-z0-9_-]{0,60})?")

Connection = psycopg.AsyncConnection[dict[str, Any]]
Groups = Mapping[str, Members]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSet:
    """One set as it was imported or last edited."""

    name: str
    bucketing: Bucketing
    document: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduled:
    """An edit to come, or one whose time has been."""

    number: int
    set_name: str
    flag: str
    wish: Mapping[str, Any]
    due: float  # seconds since the epoch
    who: str
    why: str
    state: str  # waiting | done | refused | cancelled
    note: str


class Definitions:
    """All sets of one system. One connection; operations wait for each other."""

    def __init__(self, connection: Connection, epoch: int | None) -> None:
        self._connection = connection
        self._epoch = epoch
        self._busy = asyncio.Lock()

    @classmethod
    async def open(cls, url: str, epoch: int | None = None) -> Self:
        """Connect and make the tables where they lack. Raises HitlessError `store-down`.

        With an epoch, a write is refused (Abandon) once the lease in the same database has a newer one.
        """
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
            await connection.execute(SCHEMA)
            insert = "INSERT INTO hitless_flags.sets (name, document) VALUES (%s, %s) ON CONFLICT DO NOTHING"
            await connection.execute(insert, (DEFAULT, EMPTY))
        return cls(connection, epoch)

    async def close(self) -> None:
        """Disconnect."""
        await self._connection.close()

    async def sets(self) -> tuple[StoredSet, ...]:
        """Return all sets, the default one first."""
        query = "SELECT name, bucketing, document FROM hitless_flags.sets ORDER BY name <> %s, name"
        return tuple(StoredSet(**row) for row in await self._read(query, (DEFAULT,)))

    async def one(self, name: str = DEFAULT) -> StoredSet:
        """Return one set. Raises InvalidInput `unknown-set`."""
        query = "SELECT name, bucketing, document FROM hitless_flags.sets WHERE name = %s"
        rows = await self._read(query, (name,))
        if not rows:
            known = ", ".join(each.name for each in await self.sets())
            raise InvalidInput("unknown-set", f"there is no set of flags {name!r}", f"there are: {known}")
        return StoredSet(**rows[0])

    async def replace(
        self, document: str, groups: Groups, *, who: str, why: str, name: str = DEFAULT, bucketing: str | None = None
    ) -> FlagSet:
        """Import a whole set; a new name makes a new set. Raises InvalidInput; then nothing has changed."""
        if len(document) > LARGEST_SET:
            text = f"the set has {len(document)} characters"
            raise InvalidInput("flags-too-large", text, f"at most {LARGEST_SET} are taken")
        if _NAME.fullmatch(name) is None:
            raise InvalidInput("set-name", f"{name[:80]!r} is no name of a set", "like shop, or shop@staging")
        async with self._changing() as connection:
            insert = "INSERT INTO hitless_flags.sets (name, document) VALUES (%s, %s) ON CONFLICT DO NOTHING"
            await connection.execute(insert, (name, EMPTY))
            before = await self._locked(connection, name)
            generation = _bucketing(bucketing or before.bucketing)
            read = FlagSet.parse(plain(document, groups, generation), generation)
            if (document, generation) != (before.document, before.bucketing):
                edit = Edit(who=who, why=why, flag="", before=before.document, after=document)
                await self._write(connection, name, document, generation, edit)
        return read

    async def change(
        self, flag: str, wish: Wish, groups: Groups, *, who: str, why: str, name: str = DEFAULT
    ) -> StoredSet:
        """Edit one flag; returns the set after it. Raises InvalidInput; then nothing has changed."""
        async with self._changing() as connection:
            return await self._change(connection, name, flag, wish, groups, who=who, why=why)

    async def history(self, flag: str = "", limit: int = 100, name: str = DEFAULT) -> list[Edit]:
        """Return the last edits, the newest first; of one flag, those of the whole set are among them."""
        rows = await self._read(
            "SELECT position, extract(epoch FROM at)::float8 AS at, who, why, flag, before, after"
            " FROM hitless_flags.edits WHERE set_name = %s AND (%s = '' OR flag IN (%s, ''))"
            " ORDER BY position DESC LIMIT %s",
            (name, flag, flag, limit),
        )
        return [Edit(**row) for row in rows]

    async def edited_at(self, name: str = DEFAULT) -> dict[str, float]:
        """Return when each flag was last edited alone, seconds since the epoch."""
        query = (
            "SELECT flag, extract(epoch FROM max(at))::float8 AS at FROM hitless_flags.edits"
            " WHERE set_name = %s AND flag <> '' GROUP BY flag"
        )
        return {row["flag"]: row["at"] for row in await self._read(query, (name,))}

    async def schedule(self, flag: str, wish: Wish, due: float, *, who: str, why: str, name: str = DEFAULT) -> int:
        """Keep an edit for later; returns its number. Raises InvalidInput when too many wait."""
        async with self._changing() as connection:
            count = "SELECT count(*) AS n FROM hitless_flags.scheduled WHERE state = 'waiting'"
            row = await (await connection.execute(count)).fetchone()
            if row and row["n"] >= SCHEDULED:
                raise InvalidInput("too-many-scheduled", f"{SCHEDULED} edits wait already", "cancel some")
            inserted = await connection.execute(
                "INSERT INTO hitless_flags.scheduled (set_name, flag, wish, due, who, why)"
                " VALUES (%s, %s, %s, to_timestamp(%s), %s, %s) RETURNING number",
                (name, flag, json.dumps(wish.to_data()), due, who, why),
            )
            found = await inserted.fetchone()
        return int(found["number"]) if found else 0

    async def scheduled(self, flag: str = "", name: str = DEFAULT, limit: int = 100) -> list[Scheduled]:
        """Return the edits to come and those that were, the latest first."""
        rows = await self._read(
            f"SELECT {_SCHEDULED} FROM hitless_flags.scheduled WHERE set_name = %s AND (%s = '' OR flag = %s)"  # noqa: S608  ours
            " ORDER BY due DESC LIMIT %s",
            (name, flag, flag, limit),
        )
        return [Scheduled(**row) for row in rows]

    async def cancel(self, number: int, who: str) -> None:
        """Let a scheduled edit not happen. Raises InvalidInput if it does not wait."""
        async with self._changing() as connection:
            update = (
                "UPDATE hitless_flags.scheduled SET state = 'cancelled', note = %s"
                " WHERE number = %s AND state = 'waiting'"
            )
            if (await connection.execute(update, (f"by {who}", number))).rowcount == 0:
                text = f"scheduled edit {number} does not wait"
                raise InvalidInput("not-scheduled", text, "see: hitless flags show FLAG")

    async def perform_due(self, groups: Groups) -> int:
        """Carry out the edits whose time has come, each with its mark in one transaction; returns how many."""
        due = await self._read(
            f"SELECT {_SCHEDULED} FROM hitless_flags.scheduled"  # noqa: S608  ours
            " WHERE state = 'waiting' AND due <= clock_timestamp() ORDER BY due, number",
            (),
        )
        for each in (Scheduled(**row) for row in due):
            await self._perform(each, groups)
        return len(due)

    async def _perform(self, each: Scheduled, groups: Groups) -> None:
        update = "UPDATE hitless_flags.scheduled SET state = %s, note = %s WHERE number = %s AND state = 'waiting'"
        try:
            async with self._changing() as connection:
                if (await connection.execute(update, ("done", "", each.number))).rowcount:
                    wish, why = Wish.read(each.wish), f"{each.why} (scheduled edit {each.number})".strip()
                    await self._change(connection, each.set_name, each.flag, wish, groups, who=each.who, why=why)
        except InvalidInput as error:
            async with self._changing() as connection:
                await connection.execute(update, ("refused", error.text, each.number))

    async def _change(
        self, connection: Connection, name: str, flag: str, wish: Wish, groups: Groups, *, who: str, why: str
    ) -> StoredSet:
        before = await self._locked(connection, name)
        known = definition(before.document, flag)
        after = wish.apply(flag, known, groups)
        if after == known:
            return before
        document = with_flag(before.document, flag, after)
        refuse_bad(FlagSet.parse(plain(document, groups, before.bucketing), before.bucketing), flag)
        edit = Edit(who=who, why=why, flag=flag, before=known, after=after)
        await self._write(connection, name, document, before.bucketing, edit)
        return StoredSet(name=name, bucketing=before.bucketing, document=document)

    async def _write(self, connection: Connection, name: str, document: str, bucketing: Bucketing, edit: Edit) -> None:
        update = "UPDATE hitless_flags.sets SET document = %s, bucketing = %s WHERE name = %s"
        await connection.execute(update, (document, bucketing, name))
        await connection.execute(
            "INSERT INTO hitless_flags.edits (set_name, who, why, flag, before, after) VALUES (%s, %s, %s, %s, %s, %s)",
            (name, edit.who, edit.why, edit.flag, edit.before, edit.after),
        )

    @staticmethod
    async def _locked(connection: Connection, name: str) -> StoredSet:
        query = "SELECT name, bucketing, document FROM hitless_flags.sets WHERE name = %s FOR UPDATE"
        row = await (await connection.execute(query, (name,))).fetchone()
        if row is None:
            raise InvalidInput("unknown-set", f"there is no set of flags {name!r}", "import one under this name")
        return StoredSet(**row)

    async def _read(self, query: str, values: Sequence[object]) -> list[dict[str, Any]]:
        async with self._alone() as connection:
            return await (await connection.execute(query.encode(), values)).fetchall()

    @asynccontextmanager
    async def _changing(self) -> AsyncIterator[Connection]:
        """One transaction of the controller in office; a newer one shuts it out."""
        async with self._alone() as connection, connection.transaction():
            if self._epoch is not None:
                held = "SELECT 1 FROM hitless.lease WHERE epoch = %s FOR SHARE"
                if await (await connection.execute(held, (self._epoch,))).fetchone() is None:
                    raise Abandon("fenced", f"epoch {self._epoch} was replaced by a newer controller")
            yield connection

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[Connection]:
        async with self._busy:
            try:
                yield self._connection
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                raise Abandon("store-lost", f"the flags' database is gone: {error}".strip()) from None


_SCHEDULED = (
    "number, set_name, flag, wish, extract(epoch FROM due)::float8 AS due, who, why, state, note"  # of hitless_flags
)


def _bucketing(name: str) -> Bucketing:
    match name:
        case "v2" | "v3":
            return name
        case _:
            raise InvalidInput("flags-invalid", f"bucketing {name!r} is unknown", "take v2 or v3")
