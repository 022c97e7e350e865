"""Cuts a stream of octet-counted syslog (RFC 6587: `LEN SP MSG`) into messages. Pure."""

import re

MESSAGE_LIMIT = 65_536  # bytes of one message
_DIGITS = len(str(MESSAGE_LIMIT))
_DROPPED = re.compile(rb"(?:^|[ >])(\d{1,12}) events? (?:were )?dropped\s*$")


class BrokenStream(ValueError):
    """The stream cannot be cut any further: where the next message begins is not known."""


class Frames:
    """One stream, fed in pieces of any size."""

    def __init__(self) -> None:
        self._rest = b""

    @property
    def in_midst(self) -> bool:
        """Whether the stream stands inside a message."""
        return bool(self._rest)

    def feed(self, data: bytes) -> list[bytes]:
        """Return the messages that are complete now. Raises BrokenStream, after which the stream must be given up."""
        if self._rest:
            data = self._rest + data
        messages, position = [], 0
        while True:
            space = data.find(b" ", position, position + _DIGITS + 1)
            if space < 0:
                if len(data) - position > _DIGITS:
                    raise BrokenStream(f"{data[position : position + 20]!r} begins no message")
                break
            begin = space + 1
            end = begin + _length(data[position:space])
            if end > len(data):
                break
            messages.append(data[begin:end])
            position = end
        self._rest = data[position:]
        return messages


def _length(digits: bytes) -> int:
    if not digits.isdigit() or int(digits) > MESSAGE_LIMIT:
        raise BrokenStream(f"{digits!r} is no length of a message")
    return int(digits)


def announced_loss(message: bytes) -> int:
    """Return how many records HAProxy's ring says it has overwritten before they were read; 0: it says no such thing.

    Seen with HAProxy 2.8: `<134>1 ... haproxy 17205 - - 16086 events dropped`; its DroppedLogs does not count them.
    """
    found = _DROPPED.search(message)
    return int(found[1]) if found else 0
