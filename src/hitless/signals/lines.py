"""Cuts the gateway's stream into lines. Pure."""

import re

LINE_LIMIT = 65_536  # bytes of one line
_DROPPED = re.compile(r"(?:^|[ >])(\d{1,12}) events? (?:were )?dropped\s*$")


class Lines:
    """One stream, fed in pieces of any size."""

    def __init__(self) -> None:
        self._rest = b""
        self.broken = False  # a line has no end: the stream must be given up

    @property
    def whole(self) -> bool:
        """Whether all that was fed has been cut into lines."""
        return not self._rest and not self.broken

    def feed(self, data: bytes) -> list[str]:
        """Return the lines that are complete now; none any more once the stream is broken."""
        if self.broken:
            return []
        whole, end, rest = data.rpartition(b"\n")
        text = self._rest + whole if end else b""
        self._rest = rest if end else self._rest + rest
        if len(self._rest) > LINE_LIMIT:
            self._rest, self.broken = b"", True
        return text.decode("latin-1").split("\n") if end else []


def announced_loss(line: str) -> int:
    """Return how many records HAProxy's ring says it has overwritten before they were read; 0: it says no such thing.

    Seen with HAProxy 2.8: `<134>1 ... haproxy 17205 - - 16086 events dropped`; its DroppedLogs does not count them.
    """
    found = _DROPPED.search(line)
    return int(found[1]) if found else 0
