"""A second as one line of JSON, between the recorder and who follows it. Pure."""

import json

from hitless.plan.instances import Slot
from hitless.signals.ports import ArmCount, Second


def write_second(second: Second) -> bytes:
    """Write a second as one line: `{"at":17,"lost":0,"arms":[["orders","a",requests,failed,users,bad,{bucket:n}]]}`."""
    arms = [
        [service, slot, arm.requests, arm.failed, arm.users, arm.bad_users, dict(arm.latency)]
        for (service, slot), arm in second.arms.items()
    ]
    plain = {"at": second.at, "lost": second.lost, "arms": arms}
    return json.dumps(plain, separators=(",", ":")).encode() + b"\n"


def read_second(line: bytes) -> Second:
    """Read a line back. Raises ValueError for anything else."""
    try:
        plain = json.loads(line)
        arms = dict(_arm(*each) for each in plain["arms"])
        return Second(at=int(plain["at"]), lost=int(plain["lost"]), arms=arms)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{line[:80]!r} is no second: {error!r}") from None


def _arm(
    service: str, slot: Slot, requests: int, failed: int, users: int, bad_users: int, latency: dict[str, int]
) -> tuple[tuple[str, Slot], ArmCount]:
    if slot not in ("a", "b"):
        raise ValueError(f"{slot!r} is no slot")
    buckets = {int(bucket): int(count) for bucket, count in latency.items()}
    count = ArmCount(requests=requests, failed=failed, users=users, bad_users=bad_users, latency=buckets)
    return (service, slot), count
