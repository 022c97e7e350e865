"""What a verdict's numbers mean, in one line."""

from collections.abc import Mapping
from typing import Any

TOLD = 0.5  # of the evidence: half of what all guards together begin with


def verdict_text(noted: Mapping[str, Any]) -> str:
    """Say a verdict with its numbers: who was compared, how much more often, how sure, and how much more is needed."""
    parts = [f"{noted.get('service', '')}: {noted['verdict']}".removeprefix(": "), _users(noted)]
    if (ratio := noted.get("ratio")) is not None:
        parts.append(_ratio(ratio))
    elif (rate := noted.get("bad_below")) is not None:
        parts.append(f"at most {_number(100 * rate)} % of its requests bad (95%)")
    if "e_value" in noted:
        parts.append(
            f"evidence against it {_number(noted['e_value'])} of {_number(noted['threshold'])} ({_parts(noted)})"
        )
    if noted.get("users_needed"):
        parts.append(_needed(noted["users_needed"], noted.get("needed") or {}))
    parts += noted.get("doubts", ())
    if noted["seconds"]["lost"]:
        parts.append(f"{noted['seconds']['lost']} s with lost records left out")
    if noted["reason"]:
        waits = noted["verdict"] in _WAITING and not noted.get("goes_back")
        parts.append(f"needs {noted['reason']}" if waits else noted["reason"])
    if trouble := noted.get("source"):
        parts.append(f"trouble: {trouble}")
    return "; ".join(part for part in parts if part)


_USERS = "users' requests bad"
_COUNTED = {
    "latency": "requests slower than the watched quantile of the old version",
    "business": "users did not convert",
    "crashes": "seconds of instances ended by a crash",
}
_WAITING = ("no evidence", "undecided", "fine", "no baseline")


def _users(noted: Mapping[str, Any]) -> str:
    """What the guard with the most evidence has counted, or where it has counted nothing, what users felt."""
    compared, what = noted.get("compared"), _COUNTED.get(noted.get("watches", ""), _USERS)
    if not compared or not compared["canary"]["users"]:
        compared, what = noted, _USERS
    new, old = compared["canary"], compared["baseline"]
    said = f"{new['bad_users']} of {new['users']} {what}"
    return said if old is None else f"{said} against {old['bad_users']} of {old['users']}"


def _ratio(ratio: Mapping[str, float | None]) -> str:
    value, low, high = (ratio[name] for name in ("value", "low", "high"))
    if value is None or high is None or low is None:  # nothing was bad on one side
        return f"at least {_number(low or 0.0)} times as often (95%)"
    return f"{_number(value)} times as often (95%: {_number(low)} to {_number(high)})"


def _needed(requests: int, needed: Mapping[str, Any]) -> str:
    if (supposed := needed.get("supposed")) is None:
        return f"about {requests} more requests would decide"
    least = "at least" if needed["at_least"] else "about"
    return f"{least} {requests} more requests would show {_number(supposed)} times as bad"


def _parts(noted: Mapping[str, Any]) -> str:
    """Name the guards whose part is worth telling, the one with the most evidence first."""
    parts, first = noted.get("evidence", {}), noted["watches"]
    told = sorted(((part, name) for name, part in parts.items() if part >= TOLD or name == first), reverse=True)
    return ", ".join(f"{name} {_number(part)}" for part, name in told) or first


def _number(value: float) -> str:
    return f"{value:.2g}" if value < 99.5 else f"{value:.0f}"
