"""Backfill in batches sized by time, each with its checkpoint in its own transaction; then indexes and constraints."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import psycopg

from hitless.database import ledger, mirror
from hitless.database.building import build_index, run_politely
from hitless.database.compiled import Compiled
from hitless.database.names import MARK, literal, quoted
from hitless.database.pieces import Fill, Shadow
from hitless.database.postgres import Target
from hitless.database.queries import BLOCKERS, SIZES
from hitless.database.ranges import Bound, bound_query, within
from hitless.database.recording import LIST, UNHELD, blamed, fill_the_rest, said_of
from hitless.database.sync import Sync, backfill
from hitless.plan.ports import StepFailed

BATCH_MIN, BATCH_MAX, BATCH_FIRST = 1, 20_000, 1_000  # rows
BATCH_SLOW = 100  # rows; a slow disk takes its time for less, too
SLOW_S = 0.05  # of a batch that takes longer its rows are to blame, and it shrinks to what it has to
LOCK_TRY_MS = 100  # then a batch gives way, long before PostgreSQL would look for a deadlock and choose the application
STILL_S = 600.0  # without one batch done: whoever holds rows is named and the step fails
NOTE_EVERY_S = 5.0
VACUUM_FROM_BYTES = 1_000_000_000
VACUUM_SHARE = 0.2  # of the rows, since the last time: what was left behind is used again
FLUSH_AFTER = "256kB"  # pages go to disk as batches go on: all at once, half a minute later, they hold up commits

Throttle = Callable[[], Awaitable[float]]  # returns when the next batch may run: how many seconds it may take
Progress = Callable[[dict[str, object]], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """How one table is filled."""

    table: str  # that is walked, and under which the checkpoint stands
    key: tuple[str, ...]
    sync: Sync | None = None
    shadow: Shadow | None = None
    touches: bool = False  # the triggers fill what is written

    def batch(self, version: str, last: Bound, bound: Bound) -> str:
        """Write the statement that fills a range."""
        if self.shadow is not None:
            return mirror.copy(self.shadow, version, last, bound)
        assert self.sync is not None
        if self.touches:
            mark, key = quoted(MARK), quoted(self.key[0])
            where = f"{mark} IS NULL AND {within(self.key, last, bound)}"
            return f"UPDATE {quoted(self.table)} SET {key} = {key} WHERE {where}"  # noqa: S608
        return f"{backfill(self.sync)} AND {within(self.key, last, bound)}"


async def fill(target: Target, compiled: Compiled, throttle: Throttle, progress: Progress) -> None:
    """Backfill all tables, build indexes, check constraints. A kill costs at most the batch that was running."""
    work = [_Work(table=each.table, key=each.key, sync=each) for each in compiled.syncs if each.ups]
    work += [_Work(table=each.old, key=mirror.walked(each), shadow=each) for each in compiled.shadows]
    for each in work:
        await _Filling(target, compiled, each, throttle, progress).run()
    for build in compiled.builds:
        await build_index(target, build)
    for statement in compiled.late:
        await run_politely(target, compiled.tables, statement)
    await target.run(*compiled.validate)
    await ledger.set_state(target, compiled.version, "backfilled")


class _Filling:
    """The filling of one table."""

    def __init__(self, target: Target, compiled: Compiled, work: _Work, throttle: Throttle, progress: Progress) -> None:
        self._target, self._compiled, self._work = target, compiled, work
        self._throttle, self._progress = throttle, progress
        self._size = BATCH_FIRST
        self._total = self._bytes = 0.0
        self._since_vacuum = self._rows = 0
        self._last: Bound = None
        self._done = False
        self._began = self._noted = self._moved = time.monotonic()
        self._first_rows = 0
        self._settings: dict[str, str] = {}

    async def run(self) -> None:
        """Fill until the end is reached."""
        if not self._work.key:
            raise StepFailed(
                "no-key",
                f"table {self._work.table} has no primary key: its rows cannot be told apart",
                "give it a primary key first (create_constraint of type primary_key)",
            )
        await self._prepare()
        try:
            while not self._done:
                await self._try(await self._throttle())
        finally:
            await self._target.reset(*(set(self._settings) - set(self._compiled.pins)))

    async def _try(self, batch_s: float) -> None:
        """Fill the next batch, or find out what stands in its way."""
        began = time.monotonic()
        try:
            await self._batch()
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            await self._gave_way()
            return
        except UNHELD as error:
            await self._smaller(error)
            return
        self._moved = time.monotonic()
        await self._note()
        self._adapt(batch_s, max(time.monotonic() - began, 0.001))
        await self._vacuum()

    async def _prepare(self) -> None:
        await self._target.rows(
            "INSERT INTO hitless.checkpoint (version, base) VALUES (%s, %s) ON CONFLICT DO NOTHING RETURNING 1",
            self._compiled.version,
            self._work.table,
        )
        (at,) = await self._target.rows(
            "SELECT last, rows, done FROM hitless.checkpoint "
            "WHERE space = current_schema() AND version = %s AND base = %s",
            self._compiled.version,
            self._work.table,
        )
        self._last, self._rows, self._done = at["last"], at["rows"], at["done"]
        self._first_rows = self._rows
        await self._set()
        sizes = await self._target.rows(SIZES, [self._work.table])
        self._total, self._bytes = (sizes[0]["rows"], sizes[0]["heap_bytes"]) if sizes else (0.0, 0.0)

    async def _set(self) -> None:
        """Write softly and unseen, until the end."""
        self._settings = {
            "hitless.sync": "off",
            "lock_timeout": f"{LOCK_TRY_MS}ms",
            "backend_flush_after": FLUSH_AFTER,
            **self._compiled.pins,
        }
        if await self._target.may_set("wal_init_zero"):  # 16 MB of zeros for each new file of WAL: all commits wait
            self._settings["wal_init_zero"] = "off"
        if self._work.sync is not None:
            await self._silence()
        for name, each in self._settings.items():
            await self._target.rows("SELECT set_config(%s, %s, false)", name, each)

    async def _silence(self) -> None:
        """Filling is no write of the user's: triggers rest where we may say so; else theirs fire, and ours follow."""
        if await self._target.may_set("session_replication_role"):
            self._settings["session_replication_role"] = "replica"
        elif self._work.sync is not None and self._work.sync.own_triggers:
            self._settings["hitless.sync"] = "on"
            self._work = replace(self._work, touches=True)
            fires = "triggers of this table fire for rows that are filled: its owner may not silence them"
            await self._progress({"table": self._work.table, "fires": fires})

    def _adapt(self, batch_s: float, took_s: float) -> None:
        least, factor = min(self._size, BATCH_SLOW) if took_s < SLOW_S else BATCH_MIN, batch_s / took_s
        self._size = max(least, min(BATCH_MAX, int(self._size * min(2.0, max(0.5, factor))) + 1))

    async def _batch(self) -> None:
        """Fill one batch and move the checkpoint: one statement, so both are there or neither is."""
        found = await self._target.rows(bound_query(self._work.table, self._work.key, self._last, self._size))
        if not found:
            await self._finished()
            return
        bound, rows = list(found[0]["bound"]), int(found[0]["rows"])
        batch = self._work.batch(self._compiled.version, self._last, bound)
        await self._target.run(f"WITH _hl_moved AS ({self._move(bound, rows)}) {batch}")
        self._last = bound
        self._rows += rows
        self._since_vacuum += rows

    def _move(self, bound: list[str], rows: int) -> str:
        """Write what moves the checkpoint; another controller that has moved it already keeps its place."""
        where = f"space = current_schema() AND version = {literal(self._compiled.version)}"
        return (
            f"UPDATE hitless.checkpoint SET last = {_texts(bound)}, rows = rows + {rows:d} "  # noqa: S608
            f"WHERE {where} AND base = {literal(self._work.table)} AND last IS NOT DISTINCT FROM {_texts(self._last)}"
        )

    async def _finished(self) -> None:
        await self._target.rows(
            "UPDATE hitless.checkpoint SET done = true "
            "WHERE space = current_schema() AND version = %s AND base = %s RETURNING 1",
            self._compiled.version,
            self._work.table,
        )
        self._done = True
        new = self._work.shadow.new if self._work.shadow else self._work.table
        await self._target.run(f"ANALYZE {quoted(new)}")  # queries on the new columns are planned from it

    async def _gave_way(self) -> None:
        """Somebody holds a row of this batch: take a smaller one, and name who it is if that does not end."""
        self._size = max(BATCH_MIN, self._size // 2)
        if time.monotonic() - self._moved > STILL_S:
            held = await self._target.rows(BLOCKERS, 0.2, [self._work.table])
            who = f"session {held[0]['pid']} since {held[0]['age_s']:.0f} s: {held[0]['query']}" if held else "somebody"
            raise StepFailed(
                "blocked", f"no batch of {self._work.table} in {STILL_S:g} s: {who} holds rows", "end that transaction"
            )

    async def _smaller(self, error: psycopg.Error) -> None:
        """A row cannot be mapped: find which, then record it where the migration allows that."""
        if self._size > 1:
            self._size = max(1, self._size // 4)
            return
        found = await self._target.rows(bound_query(self._work.table, self._work.key, self._last, 1))
        key = list(found[0]["bound"]) if found else []
        sync, shadow, version = self._work.sync, self._work.shadow, self._compiled.version
        to_blame = await blamed(self._target, sync, key) if sync else []
        fills = shadow.ups if shadow else ()
        refused = [said for fill, said in to_blame or ((each, said_of(error)) for each in fills) if not _recorded(fill)]
        if refused or not (to_blame or fills):
            raise self._unmappable(key, refused[0] if refused else said_of(error))
        try:
            async with self._target.transaction():
                if sync:
                    await fill_the_rest(self._target, version, sync, key, to_blame)
                else:
                    await self._target.rows(LIST, version, self._work.table, key, said_of(error))
                await self._target.run(self._move(key, 1))
        except UNHELD as again:  # what stands in for a value does not fit either
            raise self._unmappable(key, said_of(again)) from again
        self._last = key
        self._rows += 1

    def _unmappable(self, key: list[str], said: str) -> StepFailed:
        return StepFailed(
            "unmappable",
            f"{self._work.table} {'/'.join(key)} does not fit the new version: {said}",
            "correct the row or `up`, or give the operation on_unmappable: record",
        )

    async def _note(self) -> None:
        now = time.monotonic()
        if not self._done and now - self._noted < NOTE_EVERY_S:
            return
        self._noted = now
        rate = (self._rows - self._first_rows) / max(now - self._began, 0.001)
        left_s = max(self._total - self._rows, 0.0) / rate if rate > 0 and not self._done else 0.0
        remark: dict[str, object] = {"table": self._work.table, "rows": self._rows}
        await self._progress({**remark, "rows_s": round(rate), "left_s": round(left_s, 1)})

    async def _vacuum(self) -> None:
        """Let the space of replaced rows be used again before the table has doubled; small tables need none."""
        large = self._work.sync is not None and self._bytes > VACUUM_FROM_BYTES
        if large and self._since_vacuum > VACUUM_SHARE * self._total:
            self._since_vacuum = 0
            await self._target.run(f"VACUUM (INDEX_CLEANUP auto, TRUNCATE off) {quoted(self._work.table)}")


def _recorded(fill: Fill) -> bool:
    return fill.unmappable == "record"


def _texts(key: Bound) -> str:
    return "NULL" if key is None else f"ARRAY[{', '.join(literal(each) for each in key)}]::text[]"
