"""Carries a change out on an empty copy of the database, up, down and up again, and looks at what the server does.

All of it happens in one transaction that is rolled back, so the copy stays as it was and can be used again.
"""

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from psycopg import Rollback
from psycopg.errors import Diagnostic

from hitless.database import expanding, filling, phases, verifying
from hitless.database.clone import Copy, Snapshot, snapshot, spoil
from hitless.database.compiled import Compiled
from hitless.database.connecting import Row
from hitless.database.constraints import words_of
from hitless.database.findings import STRONG, Finding, Rehearsed, Seen, judged, left_behind, locks
from hitless.database.migration import Migration
from hitless.database.mirror import columns_of, mapped, mapped_rows
from hitless.database.names import quoted
from hitless.database.observation import Size
from hitless.database.operations import RawSql
from hitless.database.postgres import Target
from hitless.database.running_queries import Query, fitting, fitting_still, unfit_queries
from hitless.database.sync import value
from hitless.database.telling import told_of
from hitless.database.throttling import ALONE_S
from hitless.database.unfit_triggers import triggers, unfit_triggers
from hitless.kit.errors import HitlessError

_INDEX = re.compile(r"^\s*(CREATE\s+(UNIQUE\s+)?INDEX|DROP\s+INDEX|REINDEX\s+\w+)\s+CONCURRENTLY\b", re.IGNORECASE)
_OUTSIDE = re.compile(r"^\s*(VACUUM|ANALYZE|CHECKPOINT)\b", re.IGNORECASE)  # changes no shape
_VIEWS = re.compile(r"^\s*(CREATE(\s+OR\s+REPLACE)?|ALTER)\s+VIEW\b|^\s*GRANT\b", re.IGNORECASE)
_NOTICE = re.compile(
    r"^(?P<what>rewriting table|verifying table|building index|validating foreign key constraint) \"(?P<name>[^\"]+)\""
    r"(?: on table \"(?P<table>[^\"]+)\")?"
)
LOCKS = """
SELECT DISTINCT c.relname AS table, l.mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
WHERE l.pid = pg_backend_pid() AND l.granted AND c.relkind IN ('r', 'p')
  AND c.relnamespace = quote_ident(current_schema())::regnamespace AND l.mode = ANY(%s)
"""
NODES = """
SELECT c.oid::bigint AS table, c.relname AS name, pg_relation_filenode(c.oid)::bigint AS node FROM pg_class c
WHERE c.relkind = 'r' AND c.relnamespace = quote_ident(current_schema())::regnamespace
"""

Copying = Callable[[str | None], Awaitable[tuple[Copy, str]]]  # of what a text is about, None: all; and where it is


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What is rehearsed."""

    version: str
    migrations: tuple[Migration, ...]
    ours: Mapping[str, list[Row]]  # what hitless has written down in the original
    sizes: Mapping[str, Size]  # of the original's tables
    queries: tuple[Query, ...] = ()  # of the running code
    moved_as_it_is: bool = False  # all code that runs meets the new version without having been changed for it

    @property
    def has_sql(self) -> bool:
        """SQL of the user's is among it, which can do anything."""
        files = (each.read() for each in self.migrations)
        return any(isinstance(each.change, RawSql) for file in files for each in file.operations)

    @property
    def about(self) -> str | None:
        """All that names tables; None: SQL of the user's can be about any."""
        texts = [each.text for each in self.migrations] + [each.text for each in self.queries]
        return None if self.has_sql else "\n".join(texts)

    @property
    def shown(self) -> frozenset[str]:
        """The tables that the queries may be about: the views of others are worth no time."""
        return frozenset(word for query in self.queries for word in words_of(query.text)) & self.sizes.keys()


class RehearsalTarget(Target):
    """A database that is only tried on: it notes what each statement makes the server do."""

    phase = ""

    def listen(self) -> None:
        """Begin to note."""
        self.seen: list[Seen] = []
        self._statement, self._nodes = "", dict[int, tuple[str, int]]()
        self._connection.add_notice_handler(self._hear)

    async def run(self, *statements: str) -> int:
        """Run statements inside one transaction, also those that would not be in one; notes what they do."""
        changed = 0
        wanted = (_INDEX.sub(lambda found: found[0].rsplit(None, 1)[0], each) for each in statements)
        for views, some in groupby(wanted, lambda each: _VIEWS.match(each) is not None):
            group = tuple(some)
            together = ("; ".join(group),) if views else group  # a thousand views are one round trip
            for statement in together:
                if not _OUTSIDE.match(statement):
                    self._statement = statement
                    changed = await super().run(statement)
        return changed

    async def run_at_once(self, *statements: str) -> None:
        """Run statements one by one: what each of them makes the server do is noted."""
        await self.run(*statements)

    async def locked(self, table_of: Mapping[str, Size]) -> None:
        """Note which tables of the original are locked now so that others wait."""
        for row in await self.rows(LOCKS, list(STRONG)):
            if row["table"] in table_of:
                self.seen.append(Seen(phase=self.phase, what="lock", table=row["table"], detail=row["mode"]))

    async def rewritten(self) -> None:
        """Note which tables have got new files since this was asked last."""
        for row in await self.rows(NODES):
            name, node = self._nodes.setdefault(row["table"], (row["name"], row["node"]))
            if node != row["node"]:  # by its first name: contract may give that to another table
                self.seen.append(Seen(phase=self.phase, what="rewriting table", table=name, detail=""))
                self._nodes[row["table"]] = (name, row["node"])

    def _hear(self, said: Diagnostic) -> None:
        if (found := _NOTICE.match(said.message_primary or "")) is not None:
            table = found["table"] or found["name"]
            self.seen.append(Seen(phase=self.phase, what=found["what"], table=table, detail=self._statement))


async def rehearse_on_copy(copied: Copying, script: Script) -> Rehearsed:
    """Try a change on an empty copy. Raises HitlessError where there can be none."""
    copy, where = await copied(script.about)
    found = await rehearse(copy.url, script, where=where)
    if found.failure is None or copy.whole:
        return found
    copy, where = await copied(None)  # it may have wanted a table that was left out
    return await rehearse(copy.url, script, where=where)


async def rehearse(url: str, script: Script, *, where: str) -> Rehearsed:
    """Try a change on the empty database at `url`; what goes wrong there is part of the answer."""
    try:
        async with RehearsalTarget.open(url) as target:
            await target.set_up()
            found: list[Rehearsed] = []
            async with target.transaction():
                with told_of(target, script.migrations):
                    found.append(await _tried(target, script, where))
                raise Rollback
            return found[0]
    except HitlessError as error:
        if script.has_sql:
            await spoil(url)  # it may have ended our transaction, and left something there
        hint = error.hint if error.hint != "apply it from the start" else "correct the migration"
        return Rehearsed(failure=Finding(rule=error.code, text=error.text, hint=hint), where=where)


async def _tried(target: RehearsalTarget, script: Script, where: str) -> Rehearsed:
    target.listen()
    for table, rows in script.ours.items():
        for row in rows:
            insert = f"INSERT INTO hitless.{quoted(table)} SELECT * FROM jsonb_populate_record(NULL::hitless.{quoted(table)}, %s::jsonb) RETURNING 1"  # noqa: E501, S608
            await target.rows(insert, row["row"])
    await target.rewritten()
    fitting_now = await triggers(target)
    await target.run("SET LOCAL client_min_messages = debug1")
    target.phase = "expand"
    findings = list(await _up_and_down(target, script))
    compiled = await phases.recorded(target, script.version, "expanded")
    if compiled is None:  # a rehearsal of something that is there already
        return Rehearsed(where=where)
    await target.locked(script.sizes)
    await target.rewritten()
    queries, unfit = await _to_the_end(target, script, compiled)
    findings += [*unfit, *unfit_triggers(fitting_now, await triggers(target))]
    findings += [*judged(target.seen, script.sizes), *locks(target.seen, script.sizes)]
    return Rehearsed(destroys=compiled.destroys, findings=tuple(findings), where=where, queries=queries)


async def _up_and_down(target: RehearsalTarget, script: Script) -> Sequence[Finding]:
    """Expand, withdraw, expand again; leaves the copy expanded."""
    before = await snapshot(target)
    shapes: list[Snapshot] = []
    async with target.transaction():
        await expanding.expand(target, script.version, script.migrations, script.shown)
        shapes.append(await snapshot(target))
        await phases.withdraw(target, script.version)
        shapes.append(await snapshot(target))
        raise Rollback
    target.seen.clear()
    await expanding.expand(target, script.version, script.migrations, script.shown)
    again = await snapshot(target)
    grown = _grown(target, script)
    return [*left_behind("down", before, shapes[1], grown), *left_behind("up again", shapes[0], again)]


def _grown(target: Target, script: Script) -> frozenset[tuple[str, str]]:
    """Name the types that keep what they got: PostgreSQL cannot take a value of an enumerated type back."""
    operations = [each for migration in script.migrations for each in migration.read().operations]
    added = [each.add_enum_value.name for each in operations if each.add_enum_value is not None]
    return frozenset(("type", f"{target.space}.{name}") for name in added)


def mappings(compiled: Compiled) -> Iterator[str]:
    """Write what has the server read each mapping, up and down: no row of an empty table would try them."""
    for sync in compiled.syncs:
        for fill in sync.fills:
            said = value(sync, fill, "_hl")
            yield f"EXPLAIN UPDATE {quoted(fill.table)} AS _hl SET {quoted(fill.column)} = {said}"  # noqa: S608
    for each in compiled.shadows:
        for kept in each.held:
            yield f"EXPLAIN SELECT ({mapped((kept,), '_hl_s', typed=True)}) FROM {quoted(each.new)} AS _hl_s"  # noqa: S608
        sides = [(each.new, each.ups, each.old, each.split_by)] if each.shape != "merge" else []
        sides += [(each.old, each.downs, each.new, None)] if each.shape == "one" else []
        for target, fills, source, split_by in sides:
            rows = mapped_rows(fills, source, "true", split_by)
            yield f"EXPLAIN INSERT INTO {quoted(target)} ({columns_of(fills)}) OVERRIDING SYSTEM VALUE {rows}"


async def _to_the_end(target: RehearsalTarget, script: Script, compiled: Compiled) -> tuple[int, list[Finding]]:
    async def unheard(_: dict[str, object]) -> None:
        """Progress on an empty table."""

    async def at_once() -> float:
        """Nobody is disturbed by an empty copy."""
        return ALONE_S

    await target.run(*mappings(compiled))
    target.phase = "backfill"
    await filling.fill(target, compiled, at_once, unheard)
    await verifying.verify(target, compiled)
    await target.rewritten()
    found = await fitting(target, compiled, script.queries)
    target.phase = "contract"
    await phases.contract(target, compiled)
    await target.rewritten()
    found = await fitting_still(target, compiled, found)
    unfit = unfit_queries(found.unfit, compiled, moved_as_it_is=script.moved_as_it_is)
    return len(found.fit) + len(found.unfit), list(unfit)
