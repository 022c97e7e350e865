"""The account of one run: what was promised and what happened, from its plan and its journal alone. Pure.

Nothing else is asked: what users felt stands in the journal, written when the run came to rest.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hitless.engine.journal import (
    FACT_NAMES,
    Approved,
    Ended,
    Entry,
    Finished,
    Held,
    Noted,
    Resumed,
    Run,
    Started,
    TurnedBack,
    Undoing,
    Undone,
    Withheld,
    fold,
)
from hitless.engine.ports import RunRow

PROMISE = ("position", "room", "describe", "inverse", "point_of_no_return")


def account_of(row: RunRow, entries: Sequence[Entry]) -> dict[str, Any]:
    """Write the account as plain data; times are seconds since the epoch, lengths of time are seconds."""
    run, plan = fold(entries), row.plan
    end = _last_end(entries)
    return {
        "run": row.run,
        "change": row.change,
        "why": plan["why"],
        "hash": plan["hash"],
        "state": run.state,
        "began": row.created_at,
        "ended": end.at if end else None,
        "took_s": round(end.at - row.created_at, 3) if end else None,
        "end": _end(end),
        "promised": {
            "source": plan["source"],
            "on_failure": plan.get("on_failure", "take back"),
            "gate": plan.get("gate"),
            "claims": plan["claims"],
            "remarks": plan["remarks"],
            "steps": [{key: step.get(key) for key in PROMISE} for step in plan["steps"]],
        },
        "steps": [_step(step, run, entries) for step in plan["steps"]],
        "requests": counted(entries),
        "versions": _versions(plan["steps"]),
        "rows": _rows(plan["steps"], entries),
        "rolling": list(_rolling(entries)),
        "verdicts": list(_verdicts(plan["steps"], entries)),
        "people": list(_people(entries)),
        "troubles": list(_troubles(plan["steps"], entries)),
        "journal": {
            "facts": len(entries),
            "first": entries[0].position if entries else None,
            "last": entries[-1].position if entries else None,
        },
    }


def counted(entries: Sequence[Entry]) -> dict[str, Any] | None:
    """Return what users felt while the run went on, as the journal has it; None if nobody counted."""
    found = [
        each.fact.remark["counted"]
        for each in entries
        if isinstance(each.fact, Noted) and "counted" in each.fact.remark
    ]
    found = [each for each in found if each["until"] > each["since"]]  # the others: the recorder did not answer
    return dict(found[-1]) if found else None


def _versions(steps: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """Return which version of a service stands in which slot, as far as the plan says: service -> slot -> version."""
    found: dict[str, dict[str, str]] = {}
    for step in (each.get("step", {}) for each in steps):
        launch = step.get("launch")
        if isinstance(launch, Mapping) and "slot" in step:
            found.setdefault(str(launch.get("service")), {})[str(step["slot"])] = str(launch.get("version"))
    return found


def _last_end(entries: Sequence[Entry]) -> Entry | None:
    """Return where the run came to rest; None if it went on after that, or never did."""
    moving = [entry for entry in entries if not isinstance(entry.fact, Noted)]
    return moving[-1] if moving and isinstance(moving[-1].fact, Ended) else None


def _end(end: Entry | None) -> dict[str, Any] | None:
    if end is None or not isinstance(end.fact, Ended):
        return None
    return {"state": end.fact.state, "code": end.fact.code, "text": end.fact.text}


def _step(step: Mapping[str, Any], run: Run, entries: Sequence[Entry]) -> dict[str, Any]:
    position = step["position"]
    began, took_s = _span(position, entries, Started, Finished)
    back, back_took_s = _span(position, entries, Undoing, Undone)
    return {
        "position": position,
        "describe": step["describe"],
        "state": run.step_state(position),
        "began": began,
        "took_s": took_s,
        "taken_back": back,
        "taking_back_took_s": back_took_s,
    }


def _span(
    position: int,
    entries: Sequence[Entry],
    first: type[Started | Undoing],
    last: type[Finished | Undone],
) -> tuple[float | None, float | None]:
    """Return when something began, and how long it took until it was over; None for what did not happen."""
    began = [each.at for each in entries if isinstance(each.fact, first) and each.fact.position == position]
    over = [each.at for each in entries if isinstance(each.fact, last) and each.fact.position == position]
    if not began:
        return None, None
    return began[0], round(over[-1] - began[0], 3) if over else None


def _rows(steps: Sequence[Mapping[str, Any]], entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Return what the database counted, the last count of each table at each step."""
    last: dict[tuple[int, str], dict[str, Any]] = {}
    for entry in entries:
        if isinstance(entry.fact, Noted) and "rows" in entry.fact.remark:
            table = str(entry.fact.remark.get("table", ""))
            last[entry.fact.position, table] = {**_at(entry, steps), **entry.fact.remark}
    return list(last.values())


def _rolling(entries: Sequence[Entry]) -> Iterator[dict[str, Any]]:
    """Yield what rolling verification had to tell after the switch: a first whole sweep, rows that differ, or none."""
    for entry in entries:
        if isinstance(entry.fact, Noted) and "rolling" in entry.fact.remark:
            yield {"at": entry.at, **entry.fact.remark}


def _verdicts(steps: Sequence[Mapping[str, Any]], entries: Sequence[Entry]) -> Iterator[dict[str, Any]]:
    for entry in entries:
        if isinstance(entry.fact, Noted) and "verdict" in entry.fact.remark:
            yield {**_at(entry, steps), **entry.fact.remark}


def _troubles(steps: Sequence[Mapping[str, Any]], entries: Sequence[Entry]) -> Iterator[dict[str, Any]]:
    for entry in entries:
        if isinstance(entry.fact, Noted) and ("trouble" in entry.fact.remark or "went_on" in entry.fact.remark):
            yield {**_at(entry, steps), **entry.fact.remark}


def _at(entry: Entry, steps: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    position = entry.fact.position if isinstance(entry.fact, Noted) else 0
    describe = steps[position]["describe"] if position < len(steps) else ""
    return {"at": entry.at, "position": position, "step": describe}


def _people(entries: Sequence[Entry]) -> Iterator[dict[str, Any]]:
    """Yield what turned the run: approvals, holds, and the way back, with who or why."""
    for entry in entries:
        word = FACT_NAMES[type(entry.fact)]
        match entry.fact:
            case Noted(_, {"asked": what, "who": who}):
                yield {"at": entry.at, "what": what, "who": who, "text": ""}
            case Noted(_, {"agreed_to_contract": who}):
                yield {"at": entry.at, "what": "agreed to contract", "who": str(who), "text": ""}
            case Noted(_, {"accept_loss": rows}) | Noted(_, {"accept_loss_by_contract": rows}):
                yield {"at": entry.at, "what": "gave up rows", "who": "", "text": f"at most {rows} rows may be lost"}
            case Approved(who):
                yield {"at": entry.at, "what": word, "who": who, "text": ""}
            case Held(why):
                yield {"at": entry.at, "what": word, "who": "", "text": why}
            case Resumed():
                yield {"at": entry.at, "what": word, "who": "", "text": ""}
            case TurnedBack() | Withheld():
                yield {"at": entry.at, "what": word, "who": "", "text": f"{entry.fact.code}: {entry.fact.text}"}
            case _:
                pass
