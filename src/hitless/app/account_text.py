"""The account of a run as Markdown, for whoever has to be shown what was done. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from hitless.kit.units import format_duration

ENDS = {
    "completed": "It is completed.",
    "rolled-back": "It was taken back and is whole.",
    "rollback-incomplete": "It could not be taken back whole: a person is needed.",
    "held": "It is held.",
    "running": "It is running.",
}
UNTOLD = ("at", "position", "step", "verdict", "service", "reason", "text", "goes_back")


def markdown(account: Mapping[str, Any]) -> str:
    """Write an account as a Markdown page."""
    return "\n".join([*_head(account), *_requests(account), *_promised(account), *_happened(account)]) + "\n"


def _head(account: Mapping[str, Any]) -> Iterator[str]:
    yield f"# Run {account['run']}: {_cell(account['change'])}"
    yield ""
    if account["why"]:
        yield f"{_cell(account['why'])}\n"
    took = f" It took {_length(account['took_s'])}." if account["took_s"] is not None else ""
    yield f"{ENDS[account['state']]} It began {_time(account['began'])}.{took}"
    end = account["end"]
    if end and end["text"]:
        yield f"\n**{end['code']}**: {_cell(end['text'])}"
    yield ""


def _requests(account: Mapping[str, Any]) -> Iterator[str]:
    yield "## What users felt\n"
    requests = account["requests"]
    if requests is None:
        yield "Nobody counted.\n"
        return
    yield f"**{requests['failed']:,} of {requests['total']:,} requests failed**, counted at the gateway from"
    yield f"{_time(requests['since'])} to {_time(requests['until'])}."
    if requests["lost"]:
        yield f"{requests['lost']:,} records were lost on their way and are in neither number."
    yield ""
    rows = [
        (service, _version(account, service, slot), f"{arm['requests']:,}", f"{arm['failed']:,}")
        for service, slots in requests["services"].items()
        for slot, arm in slots.items()
    ]
    yield from _table(("service", "version", "requests", "failed"), rows)


def _promised(account: Mapping[str, Any]) -> Iterator[str]:
    promised = account["promised"]
    yield "## What was promised\n"
    claims = ", ".join(map(_cell, promised["claims"]))
    yield f"Plan `{account['hash'][:16]}`; on failure: {promised['on_failure']}; claimed: {claims}."
    yield ""
    rows = [
        (
            step["position"],
            _cell(step["describe"]),
            _cell(step["inverse"] or "nothing to undo")
            + (" **point of no return**" if step["point_of_no_return"] else ""),
        )
        for step in promised["steps"]
    ]
    yield from _table(("", "step", "undone by"), rows)
    yield from (f"- {_cell(remark)}" for remark in promised["remarks"])
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", promised["source"])), default=0))
    yield f"\n{fence}yaml\n{promised['source'].strip()}\n{fence}\n"


def _happened(account: Mapping[str, Any]) -> Iterator[str]:
    yield "## What happened\n"
    rows = [
        (
            step["position"],
            _cell(step["describe"]),
            step["state"],
            _after(account, step["began"]),
            _length(step["took_s"]),
            _length(step["taking_back_took_s"]),
        )
        for step in account["steps"]
    ]
    yield from _table(("", "step", "state", "began after", "took", "taken back in"), rows)
    if account["people"]:
        yield "## Who and why\n"
        yield from _table(
            ("after", "what", "who", "why"),
            [
                (_after(account, each["at"]), each["what"], _cell(each["who"]), _cell(each["text"]))
                for each in account["people"]
            ],
        )
    yield from _verdicts(account)
    if account["rows"]:
        yield "## Rows\n"
        yield from _table(
            ("step", "table", "rows", "numbers"),
            [
                (
                    _cell(each["step"]),
                    each.get("table", ""),
                    f"{each['rows']:,}",
                    _numbers(each, (*UNTOLD, "table", "rows")),
                )
                for each in account["rows"]
            ],
        )
    yield from _rolling(account)
    if account["troubles"]:
        yield "## Trouble that passed, or was gone over\n"
        yield from (
            f"- {_after(account, each['at'])} {_cell(each['step'])}: {_numbers(each)}" for each in account["troubles"]
        )
        yield ""
    journal = account["journal"]
    yield f"Made from {journal['facts']} facts of the journal, {journal['first']} to {journal['last']}."


def _version(account: Mapping[str, Any], service: str, slot: str) -> str:
    known = account["versions"].get(service, {})
    twice = list(known.values()).count(known.get(slot)) > 1  # the same code, before and after
    return _cell(known.get(slot, "the same throughout") + (f" in slot {slot}" if twice else ""))


def _rolling(account: Mapping[str, Any]) -> Iterator[str]:
    if account["rolling"]:
        yield "## Compared again after the switch\n"
        rows = [
            (
                _after(account, each["at"]),
                each["rolling"],
                f"{each.get('compared', 0):,}",
                each.get("sweeps", 0),
                _differ(each),
            )
            for each in account["rolling"]
        ]
        yield from _table(("after", "database", "rows compared", "all of them", "rows that differ"), rows)


def _differ(told: Mapping[str, Any]) -> str:
    if "failed" in told:
        return _cell(told["failed"])
    return _cell(
        f"{how_many(told)}: {', '.join(row_name(row) for row in told['differing'])}" if told["differing"] else "none"
    )


def how_many(told: Mapping[str, Any]) -> str:
    """Say how many rows differ; where nobody counted on, that there are at least so many."""
    number = told.get("differ", len(told["differing"]))
    return f"at least {number:,}" if told.get("at_least") else f"{number:,}"


def row_name(row: Mapping[str, Any]) -> str:
    """Name a row by its table and its key."""
    return f"{row['table']} {'/'.join(row['key'])}"


def _verdicts(account: Mapping[str, Any]) -> Iterator[str]:
    if verdicts := account["verdicts"]:
        yield "## Verdicts\n"
        rows = [
            (
                _after(account, each["at"]),
                each.get("service", ""),
                each["verdict"],
                _cell(each.get("reason") or ""),
                _numbers(each),
            )
            for each in verdicts
        ]
        yield from _table(("after", "service", "verdict", "why", "numbers"), rows)


def _numbers(told: Mapping[str, Any], without: Sequence[str] = UNTOLD) -> str:
    """Write every number of a remark: nested ones as `canary.requests 12`."""
    return "; ".join(_flat((key, value) for key, value in told.items() if key not in without))


def _flat(items: Iterable[tuple[str, Any]]) -> Iterator[str]:
    for key, value in items:
        if isinstance(value, Mapping):
            yield from _flat((f"{key}.{inner}", each) for inner, each in value.items())
        elif value not in (None, "", [], ()):
            yield f"{key} {_cell(f'{value:.6g}' if isinstance(value, float) else str(value))}"


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    yield from ("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows)
    yield ""


def _cell(text: str) -> str:
    """A text of any origin, in one line, that cannot leave its cell or become markup."""
    flat = " ".join(str(text).split())
    for mark in ("\\", "|", "<", "`", "*", "_", "["):
        flat = flat.replace(mark, f"\\{mark}")
    return flat


def _time(at: float | None) -> str:
    return "" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _after(account: Mapping[str, Any], at: float | None) -> str:
    """Say how long after the beginning something was."""
    return "" if at is None else _length(max(0.0, at - account["began"]))


def _length(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.2f} s" if seconds < 60 else format_duration(seconds)
