"""A second as one line of JSON, between the recorder and who follows it. Pure."""

import json
from typing import Any

from hitless.plan.instances import SLOTS, Slot
from hitless.signals.ports import ArmCount, Elsewhere, Second

_COUNTS = ("requests", "failed", "saved", "users", "bad_users", "latency", "assigned", "parts")


def write_second(second: Second) -> bytes:
    """Write a second as one line.

    `{"at":17,"lost":0,"arms":[["orders","a",requests,failed,saved,users,bad,{bucket:n},assigned,{cell:[users,bad]}]],
    "elsewhere":[["web","b","orders",users,bad]],"outcomes":[["web","b",users,not converted]],"one_in":{"web":2}}`
    """
    arms = [[*key, *(getattr(arm, name) for name in _COUNTS)] for key, arm in second.arms.items()]
    plain: dict[str, Any] = {"at": second.at, "lost": second.lost, "arms": arms}
    if second.elsewhere:
        plain["elsewhere"] = [[*key, arm.users, arm.bad_users] for key, arm in second.elsewhere.items()]
    if second.outcomes:
        plain["outcomes"] = [[*key, arm.users, arm.bad_users] for key, arm in second.outcomes.items()]
    if second.one_in:
        plain["one_in"] = dict(second.one_in)
    return json.dumps(plain, separators=(",", ":")).encode() + b"\n"


def read_second(line: bytes) -> Second:
    """Read a line back. Raises ValueError for anything else."""
    try:
        plain = json.loads(line)
        arms = dict(_arm(*each) for each in plain["arms"])
        elsewhere = dict(_elsewhere(*each) for each in plain.get("elsewhere", ()))
        outcomes = {(service, _slot(slot)): _users(*counts) for service, slot, *counts in plain.get("outcomes", ())}
        one_in = {str(service): int(many) for service, many in plain.get("one_in", {}).items()}
        return Second(
            at=int(plain["at"]),
            lost=int(plain["lost"]),
            arms=arms,
            elsewhere=elsewhere,
            outcomes=outcomes,
            one_in=one_in,
        )
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{line[:80]!r} is no second: {error!r}") from None


def _arm(service: str, slot: str, *counts: Any) -> tuple[tuple[str, Slot], ArmCount]:
    requests, failed, saved, users, bad_users, latency, assigned, parts = counts
    count = ArmCount(
        requests=requests,
        failed=failed,
        saved=saved,
        users=users,
        bad_users=bad_users,
        latency={int(bucket): int(many) for bucket, many in latency.items()},
        assigned=assigned,
        parts={int(cell): (users, bad) for cell, (users, bad) in parts.items()},
    )
    return (service, _slot(slot)), count


def _elsewhere(changed: str, slot: str, service: str, users: int, bad_users: int) -> tuple[Elsewhere, ArmCount]:
    return (changed, _slot(slot), service), _users(users, bad_users)


def _users(users: int, bad_users: int) -> ArmCount:
    return ArmCount(users=users, bad_users=bad_users)


def _slot(text: str) -> Slot:
    if text not in SLOTS:
        raise ValueError(f"{text!r} is no slot")
    return "a" if text == "a" else "b"
