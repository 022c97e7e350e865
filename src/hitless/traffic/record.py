"""One log record for each request: what HAProxy is told to write, and how it is read back. Pure.

Fields stand in one line between tabs. A field that a client can influence comes last, so that a tab in it shifts
nothing. Times are whole milliseconds, as HAProxy measures them; -1 where a request did not get that far.
"""

from typing import Literal, NamedTuple

from hitless.plan.instances import Slot

Listener = Literal["public", "internal"]

# %b is SERVICE.SLOT once a version was chosen; %f is the listener; %rc is retries, with a + where the place changed.
LOG_FORMAT = (
    "%[date(0,ms)] %b %[var(txn.arm),field(2,~)] %[var(txn.bucket)] %[var(txn.user),xxh64]"
    " %ST %rc %TR %Tw %Tc %Tr %Ta %ts %f %HM %[var(txn.trace)]"
).replace(" ", "\t")
FIELDS = LOG_FORMAT.count("\t") + 1

_SERVERS_FAULT = frozenset("SsRIDKUP")  # first letter of HAProxy's termination state; small letters are time-outs
_CLOSED_IN_DATA = frozenset(("SD", "sD"))


class Record(NamedTuple):
    """One request as the gateway saw it. A tuple, because ten thousand of them are made in a second."""

    end_ms: int  # since the epoch
    service: str
    slot: Slot
    version: str
    bucket: int | None  # None: nobody knows whose request it was
    user: str  # a hash; empty: nobody knows
    method: str
    status: int  # -1: no answer was begun
    retries: int
    tq: int  # ms until the request was read
    tw: int  # ms in a queue
    tc: int  # ms to connect
    tr: int  # ms until the instance answered
    ta: int  # ms in all
    termination: str  # HAProxy's two letters; -- is a normal end
    listener: Listener
    trace_id: str

    @property
    def failed(self) -> bool:
        """Tell whether a user felt a failure of ours, or would have, had a retry not saved the request.

        A client that goes away is no failure of ours, nor is a websocket that its service closes.
        """
        return self.retries > 0 or self._felt

    @property
    def saved(self) -> bool:
        """Tell whether a retry saved the client from a failure."""
        return self.retries > 0 and not self._felt

    @property
    def _felt(self) -> bool:
        if self.status >= 500:
            return True
        if self.status == 101 and self.termination in _CLOSED_IN_DATA:
            return False
        return self.termination[:1] in _SERVERS_FAULT and not 400 <= self.status < 500


def parse(line: bytes) -> Record | None:
    """Read one line; None for anything that is no request to a service."""
    fields = line.decode("latin-1").rstrip("\n").split("\t", FIELDS - 1)
    if len(fields) != FIELDS:
        return None
    end, backend, version, bucket, user, status, retries, tq, tw, tc, tr, ta, state, listener, method, trace = fields
    service, _, slot = backend.rpartition(".")
    if slot not in ("a", "b") or listener.rstrip("~") not in ("public", "internal"):
        return None
    try:
        return Record(
            int(end),
            service,
            slot,  # type: ignore[arg-type]  # checked above; a cast would cost a tenth of the time
            version,
            None if bucket == "-" else int(bucket),
            "" if user == "-" or bucket == "-" else user,
            method,
            int(status),
            int(retries.lstrip("+")),
            int(tq),
            int(tw),
            int(tc),
            int(tr),
            int(ta),
            state,
            "public" if listener[0] == "p" else "internal",
            "" if trace == "-" else trace,
        )
    except ValueError:
        return None
