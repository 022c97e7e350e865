"""One log record for each request: what HAProxy is told to write, and how it is read back. Pure.

Fields stand in one line between tabs. What is counted comes first, and is all that is looked at: ten thousand lines
are read in a second. A field that a client can influence comes last, so that a tab in it shifts nothing. Times are
whole milliseconds, as HAProxy measures them; -1 where a request did not get that far.
"""

from functools import lru_cache
from typing import NamedTuple

from hitless.plan.instances import Slot

_FORMAT = {
    "end": "%[date(0,ms)]",  # ms since the epoch
    "backend": "%b",  # SERVICE.SLOT once a version was chosen
    "user": "%[var(txn.user),xxh64]",
    "bucket": "%[var(txn.bucket)]",  # - where nobody knows whose request it was
    "status": "%ST",  # -1: no answer was begun
    "retries": "%rc",  # with a + where the place changed
    "state": "%ts",  # how it ended, in two letters; -- is a normal end
    "tw": "%Tw",  # in a queue
    "tc": "%Tc",  # to connect
    "tr": "%Tr",  # until the instance answered
    "ta": "%Ta",  # in all
    "method": "%HM",
    "tq": "%TR",  # until the request was read
    "version": "%[var(txn.arm),field(2,~)]",
    "listener": "%f",
    "trace": "%[var(txn.trace)]",
}
FIELDS = tuple(_FORMAT)
LOG_FORMAT = "\t".join(_FORMAT.values())

_COUNTED = FIELDS.index("method") + 1
_SERVERS_FAULT = frozenset("SsRIDKUP")  # first letter of HAProxy's termination state; small letters are time-outs
_CLOSED_IN_DATA = frozenset(("SD", "sD"))
_BACKENDS_LIMIT = 2048  # that are remembered, with what their names say


class Record(NamedTuple):
    """What is counted of one request. A tuple, because ten thousand of them are made in a second."""

    end_ms: int  # since the epoch
    service: str
    slot: Slot
    user: str  # a hash; empty: nobody knows whose request it was
    failed: bool  # a user felt a failure of ours, or would have, had a retry not saved the request
    latency_ms: float  # until the instance answered; how fast the client takes the answer is not in it
    saved: bool  # of those that failed: a retry saved the client
    bucket: str  # of the user; empty: no version was chosen by it
    did: str  # the method, if the client saw a good answer


def parse(line: str) -> Record | None:
    """Read one line; None for anything that is no request to a service."""
    fields = line.split("\t", _COUNTED)
    if len(fields) <= _COUNTED:
        return None
    end, backend, user, bucket, status, retries, state, tw, tc, tr, ta, method, _ = fields
    arm = _arm(backend)
    if arm is None:
        return None
    try:
        felt = False if status < "5" and state == "--" else _felt(int(status), state)
        retried = retries != "0"
        return Record(
            int(end),
            *arm,
            "" if bucket == "-" or user == "-" else user,
            felt or retried,
            int(ta) if tr == "-1" else int(tw) + int(tc) + int(tr),
            retried and not felt,
            bucket if bucket.isdecimal() else "",
            method if "2" <= status < "4" and not felt else "",
        )
    except ValueError:
        return None


@lru_cache(_BACKENDS_LIMIT)
def _arm(backend: str) -> tuple[str, Slot] | None:
    """Return service and slot; None for a backend that is no version's."""
    service, _, slot = backend.rpartition(".")
    if slot == "a":
        return service, "a"
    return (service, "b") if slot == "b" else None


def _felt(status: int, state: str) -> bool:
    """Tell whether the client was given a failure of ours.

    A client that goes away is no failure of ours, nor is a websocket that its service closes.
    """
    if status >= 500:
        return True
    if status == 101 and state in _CLOSED_IN_DATA:
        return False
    return state[:1] in _SERVERS_FAULT and not 400 <= status < 500
