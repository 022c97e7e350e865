"""Websocket frames as bytes (RFC 6455), client side. Pure."""

import base64
import hashlib
import struct
from dataclasses import dataclass

from hitless.testing.load.http1 import Answer, BadAnswer

TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA
PROPER = (1001, 1012)  # going away, service restart: how a server that stops says goodbye
FRAME_LIMIT = 1024 * 1024  # bytes
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of the server."""

    opcode: int
    payload: bytes

    @property
    def code(self) -> int:
        """The code of a close frame; 1005 if it has none."""
        return int.from_bytes(self.payload[:2], "big") if len(self.payload) >= 2 else 1005


def upgrade(key: bytes) -> tuple[str, ...]:
    """Return the header lines that ask for a websocket; the key has 16 bytes."""
    name = base64.b64encode(key).decode()
    return ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {name}")


def accepted(key: bytes, answer: Answer) -> bool:
    """Tell whether the answer opens a websocket for this key."""
    expected = base64.b64encode(hashlib.sha1(base64.b64encode(key) + _GUID.encode()).digest())  # noqa: S324  RFC 6455
    return answer.status == 101 and answer.headers.get("sec-websocket-accept") == expected.decode()


def encode(opcode: int, payload: bytes, mask: bytes) -> bytes:
    """Write a frame of a client: masked with 4 bytes, at most 65,535 bytes long."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else bytes([0x80 | 126]) + struct.pack(">H", size)
    masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
    return bytes([0x80 | opcode]) + length + mask + masked


class Frames:
    """Reads the server's frames from the pieces in which they arrive."""

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next bytes; return the frames that are whole. Raises BadAnswer."""
        self._pending += data
        frames = []
        while (frame := self._next()) is not None:
            frames.append(frame)
        return frames

    def _next(self) -> Frame | None:
        data = self._pending
        if len(data) < 2:
            return None
        size, start = data[1] & 0x7F, 2
        if size >= 126:
            start = 4 if size == 126 else 10
            size = int.from_bytes(data[2:start], "big")
        if data[1] & 0x80 or size > FRAME_LIMIT:
            raise BadAnswer("frame is masked or too long")
        if len(data) < start or len(data) < start + size:
            return None
        self._pending = data[start + size :]
        return Frame(data[0] & 0x0F, data[start : start + size])
