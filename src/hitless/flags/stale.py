"""Flags that have had their time: past their day, or long the same for everybody. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from hitless.flags.flagset import FlagSet

SETTLED_DAYS = 30
DAY_S = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Stale:
    """A flag to take out of the code, and why."""

    flag: str
    owner: str  # empty: nobody put a name on it
    why: str


def stale(
    document: str, edited_at: Mapping[str, float], now: float, settled_days: float = SETTLED_DAYS
) -> tuple[Stale, ...]:
    """Return the flags whose `expires` is over, and those that give everybody the same for `settled_days` days.

    `edited_at`: seconds since the epoch of the last edit of each flag; one without an entry was never edited alone.
    """
    read = FlagSet.parse(document)
    return tuple(
        Stale(flag=key, owner=str(_metadata(flag).get("owner", "")), why=why)
        for key, flag in read.definitions.items()
        for why in _reasons(flag, now, edited_at.get(key), settled_days)
    )


def _reasons(flag: Any, now: float, edited_at: float | None, settled_days: float) -> Iterator[str]:
    expires = _day(_metadata(flag))
    if expires is not None and expires < datetime.fromtimestamp(now, UTC).date():
        yield f"expired on {expires.isoformat()}"
    answer = _same_for_all(flag)
    if answer and edited_at is not None and (days := (now - edited_at) / DAY_S) >= settled_days:
        yield f"{answer}, unchanged for {int(days)} days"


def _same_for_all(flag: Any) -> str:
    """Say what everybody gets, as far as the form of the flag shows it; empty if that differs."""
    match flag:
        case {"state": "DISABLED"}:
            return "switched off for everybody"
        case {"targeting": {"if": [_, str(yes), str(no)]}} if yes == no:
            return f"everybody gets {yes!r}"
        case {"targeting": dict(rule)} if rule:
            return ""
        case {"defaultVariant": str(name)}:
            return f"everybody gets {name!r}"
        case _:
            return ""


def _metadata(flag: Any) -> Mapping[str, Any]:
    metadata = flag.get("metadata") if isinstance(flag, dict) else None
    return metadata if isinstance(metadata, dict) else {}


def _day(metadata: Mapping[str, Any]) -> date | None:
    try:
        return date.fromisoformat(str(metadata.get("expires", "")))
    except ValueError:
        return None
