"""What is told about a run: its steps, its verdicts, and what users felt while it went on."""

from collections.abc import Sequence
from typing import Any

from hitless.app.account import counted
from hitless.app.contract_rules import left_open
from hitless.app.observation import recent
from hitless.app.world import KINDS, World
from hitless.engine.journal import Entry, Noted, Run, fold
from hitless.engine.ports import Journal, RunRow
from hitless.plan.plan import Plan
from hitless.signals.ports import Second


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
            "open": _open(row.plan, run, entries),
            "requests": await self._requests(row, entries),
            "verdicts": [
                _verdict(entry) for entry in entries if isinstance(entry.fact, Noted) and "verdict" in entry.fact.remark
            ],
        }

    async def _requests(self, row: RunRow, entries: Any) -> dict[str, int]:
        """Return the counts of a run at rest from the journal, else those up to now."""
        told = counted(entries)
        if told is not None and fold(entries).ended is not None:
            return {"total": told["total"], "failed": told["failed"]}
        return count(await recent(self._world, row.created_at))


def _open(plan: dict[str, Any], run: Run, entries: Sequence[Entry]) -> dict[str, Any] | None:
    """Say which steps wait for an approval, and why they were not done when somebody last gave it."""
    gate = plan["gate"]
    if gate is None or run.turned_back or run.reached >= len(plan["steps"]):
        return None
    why, still = run.withheld, left_open(Plan.from_json(plan, KINDS), entries)
    return {
        "due_at": still.due_at if still else None,
        "agreed_by": still.who if still else None,
        "steps": [step["describe"] for step in plan["steps"][gate:]],
        "approved": run.approved,
        "withheld": {"code": why.code, "text": why.text, "hint": why.hint} if why else None,
    }


def count(seconds: list[Second]) -> dict[str, int]:
    """Add up what users felt."""
    arms = [arm for second in seconds for arm in second.arms.values()]
    return {"total": sum(arm.requests for arm in arms), "failed": sum(arm.failed - arm.saved for arm in arms)}


def _step(step: dict[str, Any], run: Run) -> dict[str, Any]:
    names = ("position", "room", "describe", "inverse", "point_of_no_return")
    return {name: step[name] for name in names} | {"state": run.step_state(step["position"])}


def _verdict(entry: Entry) -> dict[str, Any]:
    return (
        {"at": entry.at, "position": entry.fact.position, **entry.fact.remark} if isinstance(entry.fact, Noted) else {}
    )
