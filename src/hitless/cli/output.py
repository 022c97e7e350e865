"""Words out: data on stdout, talk on stderr, and what a run's facts mean in a sentence."""

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from hitless.app.account_text import how_many, row_name
from hitless.cli.table import table
from hitless.cli.verdicts import verdict_text
from hitless.kit.errors import HitlessError
from hitless.kit.units import format_duration

NOBODY_COUNTED = "nobody can say what users felt: the recorder did not answer, see hitless logs recorder"
STALE_S = 15.0  # seconds are counted, closed and kept well within it


def say(text: str) -> None:
    """Tell a person something; never mixed with data."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def emit(text: str) -> None:
    """Print data."""
    print(text, flush=True)  # noqa: T201


def emit_json(content: Any) -> None:
    """Print one JSON object on one line."""
    emit(json.dumps(content))


def complain(error: HitlessError, *, as_json: bool) -> None:
    """Print an error: code, sentence, way forward."""
    if as_json:
        emit_json({"code": error.code, "text": error.text, "hint": error.hint, "exit": int(error.exit)})
    else:
        say(str(error))


def plan_text(plan: Mapping[str, Any]) -> str:
    """Write a plan for a person: each step with what undoes it, then what speaks against it."""
    lines = [f"change {plan['change']}" + (f": {plan['why']}" if plan.get("why") else "")]
    width = max((len(step["describe"]) for step in plan["steps"]), default=0)
    for step in plan["steps"]:
        undo = step["inverse"] or "nothing to undo"
        mark = "  POINT OF NO RETURN" if step["point_of_no_return"] else ""
        lines.append(f"  {step['position']:>3}  {step['describe'].ljust(width)}   undo: {undo}{mark}")
    lines += [f"  note: {remark}" for remark in plan["remarks"]]
    lines += _proof_lines(plan["proof"])
    for refusal in plan["refusals"]:
        lines.append(f"refused  {refusal['code']}: {refusal['text']}")
        if refusal["hint"]:
            lines.append(f"  hint: {refusal['hint']}")
    return "\n".join(lines)


def simulated_text(found: Mapping[str, Any]) -> str:
    """Write for a person what came of simulated runs."""
    ended = ", ".join(f"{count} {state}" for state, count in found["ended"].items())
    faults = ", ".join(f"{count} {kind}" for kind, count in found["faults"].items()) or "none"
    lines = [
        f"simulated {found['runs']} runs (waits shortened): {ended}; {found['requests']} requests",
        f"  faults of controllers: {faults}; {found['controllers']} controllers took part",
        f"  ways back that had to be told to try again: {found['incomplete'] or 'none'}",
        f"  broken promises: {len(found['broken']) or 'none'}",
    ]
    lines += [f"    seed {each['seed']}: {each['broken']}  ({each['case']})" for each in found["broken"]]
    return "\n".join(lines)


def _proof_lines(proof: Mapping[str, Any]) -> list[str]:
    pairs = proof.get("pairs", [])
    if not pairs:
        return []
    return [
        f"  proof: {proof['states']} states, forward and backward; live at once, and why it works:",
        *(f"    {each['live'][0]} with {each['live'][1]}: {each['why']}" for each in pairs),
    ]


def _open_text(run: str, still: Mapping[str, Any]) -> Iterator[str]:
    due_at, by = still["due_at"], still["agreed_by"]
    when = f"open until approved (hitless contract {run})"
    if due_at is not None and by is not None:
        when = f"open until {datetime.fromtimestamp(due_at, UTC):%Y-%m-%d %H:%M:%S} UTC, approved by {by}"
    yield f"  {when}: {'; '.join(still['steps'])}"
    if (why := still["withheld"]) is not None:
        yield f"  not done: {why['code']}: {why['text']}"
    for verb in ("rollback", "contract"):
        if rows := still[f"lost_by_{verb}"]:
            shown = "; ".join(f"{row_name(row)}: {row['why']}" for row in rows[:5])
            yield f"  {verb} would give up {len(rows)} rows (--accept-loss {len(rows)}): {shown}"
    for each in still["rolling"]:
        yield from _rolling_text(each)


def _rolling_text(found: Mapping[str, Any]) -> Iterator[str]:
    differing = found["differing"]
    said = f"{how_many(found)} rows differ: contract is refused" if differing else "none differs"
    times = f", all of them {found['sweeps']} times" if found["sweeps"] else ""
    yield f"  {found['database']} since the switch: {found['compared']:,} rows compared{times}; {said}"
    yield from _both_values(differing)


def _both_values(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield from (f"    {row_name(row)}: {row['said']}" for row in rows)


def differing_text(found: Mapping[str, Any]) -> Iterator[str]:
    """Write which rows differed in a database when its change was taken back."""
    if found["differing"]:
        yield f"  {found['database']}: {how_many(found)} rows differed when they were last compared"
        yield from _both_values(found["differing"])


def fact_text(fact: Mapping[str, Any], steps: Sequence[Mapping[str, Any]]) -> str | None:
    """Say what one line of the journal means; None for what a person need not see."""
    body = fact["body"]
    match fact["fact"]:
        case "started" | "finished" | "undoing" | "undone" as name:
            return _step_fact(name, body["position"], steps[body["position"]])
        case "turned-back":
            return f"taking back: {body['code']}: {body['text']}" + (f"\n{body['hint']}" if body["hint"] else "")
        case "held":
            return f"held: {body['why']}"
        case "resumed":
            return "goes on"
        case "approved":
            return f"approved by {body['who']}"
        case "withheld":
            return f"not done: {body['code']}: {body['text']}"
        case "noted":
            return _remark(body["remark"])
        case _:
            return None


def _step_fact(name: str, position: int, step: Mapping[str, Any]) -> str:
    said = {
        "started": f"{step['describe']} ...",
        "finished": "done",
        "undoing": f"{step['inverse'] or 'nothing to undo'} ...",
        "undone": "taken back",
    }
    return f"  {position:>3}  {said[name]}"


def _remark(remark: Mapping[str, Any]) -> str | None:
    if "verdict" in remark:
        return f"       {verdict_text(remark)}"
    if "trouble" in remark:
        return f"       trouble ({remark['attempt']}): {remark['trouble']}"
    if "rows_s" in remark:
        return f"       {progress_text(remark)}"
    if "text" in remark:
        return f"       {remark['text']}"
    return None


def progress_text(progress: Mapping[str, Any]) -> str:
    """Say how far a backfill has come."""
    left = f", {progress['left_s']:g} s left" if progress["left_s"] else ""
    return f"{progress['table']}: {progress['rows']:,} rows, {progress['rows_s']:,} rows/s{left}"


def show_text(shown: Mapping[str, Any]) -> str:
    """Write a run for a person."""
    requests = shown["requests"]
    lines = [
        f"run {shown['run']}  change {shown['change']}  {shown['state']}",
        f"requests {requests['total']}, failed {requests['failed']}" if requests["counted_s"] else NOBODY_COUNTED,
    ]
    lines += [f"  {step['position']:>3}  {step['state']:8}  {step['describe']}" for step in shown["steps"]]
    if shown["progress"] is not None and shown["state"] == "running":
        lines.append(f"  {progress_text(shown['progress'])}")
    if shown["open"] is not None:
        lines += _open_text(shown["run"], shown["open"])
    for each in shown["differing"]:
        lines += differing_text(each)
    lines += [f"verdict  {verdict['position']:>3}  {verdict_text(verdict)}" for verdict in shown["verdicts"]]
    if (now := shown["now"]) is not None:
        lines.append(f"now      {now['position']:>3}  {verdict_text(now)}{_age(now['until'])}")
    return "\n".join(lines)


def _age(until: float) -> str:
    """Say that what is known is old, where it is: then nobody counts."""
    old_s = time.time() - until
    return f"; nothing was counted in the last {format_duration(round(old_s))}" if old_s > STALE_S else ""


def status_text(status: Mapping[str, Any]) -> str:
    """Write what runs for a person."""
    rows = [("SERVICE", "VERSION", "SHARE", "INSTANCE", "PID", "STATE")]
    for name, service in status["services"].items():
        for version in service["versions"]:
            share = f"{version['share'] * 100:g}%"
            rows += [
                (name, version["version"], share, instance["id"], str(instance["pid"]), instance["state"])
                for instance in version["instances"]
            ]
    run = status["run"]
    tail = f"\nrun {run['run']} ({run['change']}): {run['state']}" if run else ""
    return table(rows) + tail
