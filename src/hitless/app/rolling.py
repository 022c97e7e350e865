"""From the switch to contract both sides of a change are compared again and again; what is found is in the journal."""

from collections.abc import Mapping, Sequence
from typing import Any

from hitless.app.contract_rules import contracts, watched
from hitless.app.databases import Databases
from hitless.app.journal import StoredJournal
from hitless.app.world import KINDS, World
from hitless.database.driver import rolled_so_far, rolling
from hitless.database.rolling import Rolled
from hitless.database.steps import Contract
from hitless.engine.engine import Engine
from hitless.engine.journal import Entry, Noted
from hitless.engine.ports import RunRow
from hitless.kit.errors import Abandon, HitlessError
from hitless.plan.plan import Plan
from hitless.store.postgres import Store

ROUND_S = 0.2  # of comparing, for each database, every 5 s: a connection of its own is busy for 4 % of the time
AGAIN_S = 60.0  # between two remarks of one kind
KEYS = 20  # of rows that differ, in one remark
_NOTHING: Mapping[str, Any] = {}
REMARK = "rolling"  # of the journal: the database, what was compared, and what differs


class RollingVerification:
    """Gives every change that is switched and not contracted a round now and then."""

    def __init__(self, *, world: World, store: Store, engine: Engine) -> None:
        self._world, self._store, self._engine = world, store, engine
        self._journal = StoredJournal(store)
        self._over: set[str] = set()  # runs that have nothing to compare any more

    async def tend(self) -> None:
        """Compare some more rows of each open change; a database that does not answer is left to a later round."""
        for row in (RunRow(**each) for each in await self._store.runs()):
            if row.plan["gate"] is not None and row.run not in self._over:
                await self._rounds(row)

    async def _rounds(self, row: RunRow) -> None:
        plan, entries = Plan.from_json(row.plan, KINDS), await self._journal.entries(row.run)
        steps = watched(plan, entries)
        if not steps:
            self._over.add(row.run)
        for step in steps:
            try:
                remark = await self._round(step)
            except Abandon:
                raise
            except HitlessError as error:
                remark = {REMARK: step.database, "version": step.version, "failed": f"{error.code}: {error.text}"}
            if remark is not None and news(remark, entries, self._world.clock.now()):
                await self._engine.note(row.run, plan.gate or 0, remark)

    async def _round(self, step: Contract) -> dict[str, Any] | None:
        found = await rolling(self._world.databases.url(step.database), step.version, ROUND_S)
        return None if found is None else {REMARK: step.database, "version": step.version, **for_journal(found)}


def plain(found: Rolled) -> dict[str, Any]:
    """Write as plain data how far it has come, and which rows differ, with both values."""
    rows = [{"table": each.table, "key": list(each.key), "said": each.said} for each in found.differing.listed]
    return {"compared": found.rows, "sweeps": found.sweeps, "differing": rows, **_counted(found)}


def for_journal(found: Rolled) -> dict[str, Any]:
    """Write the same without values, which are the user's data: some keys, and how many rows there are."""
    rows = [{"table": each.table, "key": list(each.key)} for each in found.differing.listed[:KEYS]]
    return {"compared": found.rows, "sweeps": found.sweeps, "differing": rows, **_counted(found)}


def _counted(found: Rolled) -> dict[str, Any]:
    return {"differ": found.differing.total, "at_least": found.differing.at_least}


def news(remark: Mapping[str, Any], entries: Sequence[Entry], now: float) -> bool:
    """Tell whether the journal does not say so yet: a first whole sweep, rows that differ or no longer, a trouble.

    `now`: seconds since the epoch. Other rows that differ than before, or another trouble, are told once a minute.
    """
    told = [(each.at, each.fact.remark) for each in entries if isinstance(each.fact, Noted)]
    mine = [(at, each) for at, each in told if each.get(REMARK) == remark[REMARK]]
    last, before = mine[-1] if mine else (0.0, _NOTHING)
    swept = remark.get("sweeps", 0) > 0 and not any(each.get("sweeps", 0) for _, each in mine)
    if swept or _kind(remark) != _kind(before):
        return True
    return _said(remark) != _said(before) and now - last >= AGAIN_S


def _said(remark: Mapping[str, Any]) -> tuple[Any, ...]:
    return remark.get("differing", []), remark.get("differ", 0), remark.get("failed")


def _kind(remark: Mapping[str, Any]) -> tuple[bool, bool]:
    return "failed" in remark, bool(remark.get("differing"))


async def rolled_in(plan: Plan, databases: Databases) -> list[dict[str, Any]]:
    """Return for each database of a plan how far it has come, and which rows differ. Raises `database-down`."""
    return [
        {"database": step.database, **plain(await rolled_so_far(databases.url(step.database), step.version))}
        for step in contracts(plan)
    ]
