"""What a person reads about flags. Pure."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from hitless.cli.table import table


def list_text(listed: Mapping[str, Any]) -> str:
    """Write the flags of a set as a table."""
    rows = [("FLAG", "SERVES", "OWNER", "EXPIRES", "REQUIRES")]
    rows += [
        (each["flag"], each["serves"], each["owner"] or "-", each["expires"] or "-", each["requires"] or "-")
        for each in listed["flags"]
    ]
    return table(rows)


def show_text(shown: Mapping[str, Any]) -> str:
    """Write one flag: what it serves, its definition, its edits, and those to come."""
    lines = [f"{shown['flag']}: {shown['serves']}", json.dumps(shown["definition"], indent=2, ensure_ascii=False)]
    if shown["bad"]:
        lines.append(f"bad: {shown['bad']}")
    for each in shown["scheduled"]:
        note = f" ({each['note']})" if each["note"] else ""
        lines.append(
            f"edit {each['number']} {each['state']}{note}: {each['wish']} at {_time(each['due'])} by {each['who']}"
        )
    lines += [f"{_time(each['at'])}  {each['who']}  {each['why'] or '-'}" for each in shown["history"]]
    return "\n".join(lines)


def history_text(edits: Iterable[Mapping[str, Any]]) -> str:
    """Write edits, the newest first."""
    return "\n\n".join(f"{_headline(each)}\n{each['diff']}".rstrip() for each in edits)


def clients_text(clients: Mapping[str, Any]) -> str:
    """Write who is connected, and who has not what is served."""
    rows = [("CLIENT", "HAS IT")]
    rows += [(each["name"], "yes" if each["has_it"] else "NO") for each in clients["clients"]]
    return f"version {clients['version'][:8]}, {len(clients['clients'])} clients\n{table(rows)}"


def edited_text(answer: Mapping[str, Any]) -> str:
    """Say what an edit did."""
    if "scheduled" in answer:
        return f"edit {answer['scheduled']} of {answer['flag']} happens at {_time(answer['due'])}"
    served = f"{answer['flag']} is served, version {answer['version'][:8]}"
    return f"{answer['diff']}\n{served}" if answer["diff"] else f"{served}; nothing changed"


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _headline(edit: Mapping[str, Any]) -> str:
    what, why = edit["flag"] or "the whole set", edit["why"] or "-"
    return f"{edit['position']}  {_time(edit['at'])}  {what}  {edit['who']}  {why}"
