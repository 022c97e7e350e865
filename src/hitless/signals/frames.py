"""Cuts a stream of octet-counted syslog (RFC 6587: `LEN SP MSG`) into messages. Pure."""

import re

MESSAGE_LIMIT = 65_536  # bytes of one message
_DIGITS = len(str(MESSAGE_LIMIT))
_DROPPED = re.compile(rb"(?:^|[ >])(\d{1,12}) events? (?:were )?dropped\s*$")


class Frames:
    """One stream, fed in pieces of any size."""

    def __init__(self) -> None:
        self._rest = b""
        self.broken = False  # where the next message begins is not known: the stream must be given up

    @property
    def whole(self) -> bool:
        """Whether all that was fed has been cut into messages."""
        return not self._rest and not self.broken

    def feed(self, data: bytes) -> list[bytes]:
        """Return the messages that are complete now; none any more once the stream is broken."""
        data = self._rest + data if self._rest else data
        messages: list[bytes] = []
        position = 0
        while not self.broken:
            space = data.find(b" ", position, position + _DIGITS + 1)
            if space < 0:
                self.broken = len(data) - position > _DIGITS
                break
            length = data[position:space]
            if not length.isdigit() or int(length) > MESSAGE_LIMIT:
                self.broken = True
                break
            end = space + 1 + int(length)
            if end > len(data):
                break
            messages.append(data[space + 1 : end])
            position = end
        self._rest = b"" if self.broken else data[position:]
        return messages


def announced_loss(message: bytes) -> int:
    """Return how many records HAProxy's ring says it has overwritten before they were read; 0: it says no such thing.

    Seen with HAProxy 2.8: `<134>1 ... haproxy 17205 - - 16086 events dropped`; its DroppedLogs does not count them.
    """
    found = _DROPPED.search(message)
    return int(found[1]) if found else 0
