"""What is told about a run: its steps, its verdicts, and what users felt while it went on."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from hitless.app.account import counted
from hitless.app.contract_rules import left_open
from hitless.app.going_back import lost
from hitless.app.observation import recent
from hitless.app.rolling import rolled_in
from hitless.app.world import KINDS, World
from hitless.engine.journal import Entry, Noted, Run, fold
from hitless.engine.ports import Journal, RunRow
from hitless.kit.errors import HitlessError
from hitless.plan.plan import Plan
from hitless.plan.ports import Moment
from hitless.signals.ports import Second
from hitless.signals.steps import Watch


class Reports:
    """Puts the journal and the counts of the gateway together."""

    def __init__(self, world: World, journal: Journal) -> None:
        self._world, self._journal = world, journal

    async def show(self, row: RunRow) -> dict[str, Any]:
        """Return one run, as `show RUN --json` prints it."""
        entries = await self._journal.entries(row.run)
        run = fold(entries)
        return {
            "run": row.run,
            "change": row.change,
            "state": run.state,
            "why": row.plan["why"],
            "hash": row.plan["hash"],
            "steps": [_step(step, run) for step in row.plan["steps"]],
            "open": await self._open(row.plan, run, entries),
            "differing": await self._rolling(Plan.from_json(row.plan, KINDS)) if run.turned_back else [],
            "progress": _progress(entries),
            "requests": await self._requests(row, entries),
            "verdicts": [
                _verdict(entry) for entry in entries if isinstance(entry.fact, Noted) and "verdict" in entry.fact.remark
            ],
            "now": await self._now(row, run),
        }

    async def _now(self, row: RunRow, run: Run) -> dict[str, Any] | None:
        """Return what the watch that is under way knows by now: its verdicts in the journal may be minutes old."""
        position = run.reached - 1
        if run.ended or run.turned_back or not run.in_doubt:
            return None
        step = Plan.from_json(row.plan, KINDS).steps[position]
        if not isinstance(step, Watch):
            return None
        moment = Moment(
            run=row.run,
            position=position,
            started_at=run.started_at[position],
            resumed_at=run.resumed_at,
            note=_nobody_notes,
        )
        known = await self._world.signals.known(step, moment)
        return known and {"position": position, **known}

    async def _open(self, plan: dict[str, Any], run: Run, entries: Sequence[Entry]) -> dict[str, Any] | None:
        """Say which steps wait for an approval, until when, and why they were not done when it was last given."""
        gate = plan["gate"]
        if gate is None or run.turned_back or run.reached >= len(plan["steps"]):
            return None
        whole, why = Plan.from_json(plan, KINDS), run.withheld
        still = left_open(whole, entries)
        return {
            "steps": [step["describe"] for step in plan["steps"][gate:]],
            "approved": run.approved,
            "withheld": {"code": why.code, "text": why.text, "hint": why.hint} if why else None,
            "due_at": still.due_at if still else None,
            "agreed_by": still.who if still else None,
            "lost_by_rollback": await self._lost(whole, "new") if still else [],
            "lost_by_contract": await self._lost(whole, "old") if still else [],
            "rolling": await self._rolling(whole),
        }

    async def _lost(self, plan: Plan, side: str) -> list[dict[str, Any]]:
        """List the rows that one side wrote and the other cannot hold; none where the database does not answer."""
        with suppress(HitlessError):
            rows = await lost(plan.steps, self._world.databases, side)
            return [{"table": row.table, "key": list(row.key), "why": row.why} for row in rows]
        return []

    async def _rolling(self, plan: Plan) -> list[dict[str, Any]]:
        """Say how often rows were compared since the switch, and which differ; nothing of what does not answer."""
        with suppress(HitlessError):
            return await rolled_in(plan, self._world.databases)
        return []

    async def _requests(self, row: RunRow, entries: Any) -> dict[str, float]:
        """Return the counts of a run at rest from the journal, else those up to now."""
        told = counted(entries)
        if told is not None and fold(entries).ended is not None:
            return {"total": told["total"], "failed": told["failed"], "counted_s": told["until"] - told["since"]}
        return count(await recent(self._world, row.created_at))


def _progress(entries: Sequence[Entry]) -> dict[str, Any] | None:
    """Return how far the backfill under way, or the last one, has come: rows, rows a second, seconds left."""
    for entry in reversed(entries):
        if isinstance(entry.fact, Noted) and "rows_s" in entry.fact.remark:
            return dict(entry.fact.remark)
    return None


async def _nobody_notes(_: dict[str, object]) -> None:
    """Who looks writes nothing."""


def count(seconds: list[Second]) -> dict[str, float]:
    """Add up what users felt."""
    arms = [arm for second in seconds for arm in second.arms.values()]
    total, failed = sum(arm.requests for arm in arms), sum(arm.failed - arm.saved for arm in arms)
    return {"total": total, "failed": failed, "counted_s": float(len(seconds))}


def _step(step: dict[str, Any], run: Run) -> dict[str, Any]:
    names = ("position", "room", "describe", "inverse", "point_of_no_return")
    return {name: step[name] for name in names} | {"state": run.step_state(step["position"])}


def _verdict(entry: Entry) -> dict[str, Any]:
    return (
        {"at": entry.at, "position": entry.fact.position, **entry.fact.remark} if isinstance(entry.fact, Noted) else {}
    )
