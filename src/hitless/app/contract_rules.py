"""When contract is approved by whom: beforehand, by a person later, or by nobody because nothing is lost. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from hitless.database.steps import Contract
from hitless.engine.journal import Ended, Entry, Noted, Withheld, fold
from hitless.plan.plan import Plan

NOTHING_LOST = "the plan: nothing is destroyed"
AGREED = "agreed_to_contract"  # the remark of somebody who approved before it was time
FIRST_PAUSE_S = 60.0  # between a contract that could not be done and the next try; then a tenth of the time it is due


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """What a completed run still has to do behind its gate."""

    due_at: float | None  # seconds since the epoch; None: when a person asks for it
    who: str | None  # approved it beforehand; None: nobody yet


def contracts(plan: Plan) -> tuple[Contract, ...]:
    """Return the contracts behind the gate of a plan."""
    behind = plan.steps[plan.gate :] if plan.gate is not None else ()
    return tuple(step for step in behind if isinstance(step, Contract))


def approval_at_start(plan: Plan, approved_by: str | None) -> str | None:
    """Return who opens the gate as soon as it is reached; None: it stays shut for now."""
    wait_s = _wait_s(plan)
    if wait_s is None:
        return approved_by
    return (approved_by or _nobody_needed(plan)) if wait_s == 0 else None


def watched(plan: Plan, entries: Sequence[Entry]) -> tuple[Contract, ...]:
    """Return the contracts of a run that are to come: until then both sides of their databases are compared."""
    run = fold(entries)
    if run.turned_back or run.ended in ("rolled-back", "rollback-incomplete") or run.reached >= len(plan.steps):
        return ()
    return contracts(plan)


def left_open(plan: Plan, entries: Sequence[Entry]) -> Open | None:
    """Return what a completed run has left open; None if that is nothing."""
    run = fold(entries)
    if not contracts(plan) or run.ended != "completed" or run.turned_back or run.reached >= len(plan.steps):
        return None
    remarks = [entry.fact.remark for entry in entries if isinstance(entry.fact, Noted)]
    agreed = [remark[AGREED] for remark in remarks if AGREED in remark]
    who = str(agreed[-1]) if agreed else _nobody_needed(plan)
    due_at = held_until(plan, entries)
    if due_at is None:
        return Open(due_at=None, who=who)
    withheld = [entry.at for entry in entries if isinstance(entry.fact, Withheld)]
    if withheld:
        due_at = withheld[-1] + max(FIRST_PAUSE_S, (withheld[-1] - due_at) / 10)
    return Open(due_at=due_at, who=who)


def held_until(plan: Plan, entries: Sequence[Entry]) -> float | None:
    """Return when the hold time of a completed run is over, in seconds since the epoch; None: it has none."""
    wait_s = _wait_s(plan)
    ends = [entry.at for entry in entries if isinstance(entry.fact, Ended)]
    return ends[0] + wait_s if wait_s is not None and ends else None


def _wait_s(plan: Plan) -> float | None:
    """Several databases of one change are contracted together, when the last of them may be."""
    waits = [step.after_s for step in contracts(plan)]
    known = [each for each in waits if each is not None]
    return max(known) if known and len(known) == len(waits) else None


def _nobody_needed(plan: Plan) -> str | None:
    return None if any(step.destroys for step in contracts(plan)) else NOTHING_LOST
