"""Websockets (RFC 6455), the server's side: whole text messages of up to 64 KiB."""

import asyncio
import base64
import hashlib
from contextlib import suppress

TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA
FRAME_LIMIT = 64 * 1024
GOODBYE_S = 1.0  # for the other side's close frame


class Websocket:
    """One open websocket; iterate over it for the messages of the other side."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._closing = False

    async def send(self, text: str) -> None:
        """Send a message; nothing once the websocket is closing."""
        if not self._closing:
            self._frame(TEXT, text.encode())
            await self._writer.drain()

    def close(self, code: int) -> None:
        """Say goodbye; iteration ends when the other side has said so too, at most GOODBYE_S later."""
        if not self._closing:
            self._frame(CLOSE, code.to_bytes(2, "big"))
            self._closing = True
            asyncio.get_running_loop().call_later(GOODBYE_S, self._reader.feed_eof)

    def __aiter__(self) -> "Websocket":
        return self

    async def __anext__(self) -> str:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while (message := await self._read()) is None:
                pass
            if message is not False:
                return str(message)
        raise StopAsyncIteration

    async def _read(self) -> str | bool | None:
        """Return a message; None: something else, go on; False: it is over."""
        first, second = await self._reader.readexactly(2)
        opcode, size = first & 0x0F, second & 0x7F
        if size == 126:
            size = int.from_bytes(await self._reader.readexactly(2), "big")
        if not first & 0x80 or not second & 0x80 or size > FRAME_LIMIT - 1:
            self.close(1009 if size > 126 else 1003)
            return False
        mask = await self._reader.readexactly(4)
        payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(await self._reader.readexactly(size)))
        match opcode:
            case 0x8:
                if not self._closing:
                    self._frame(CLOSE, payload[:2])
                    self._closing = True
                return False
            case 0x9 if not self._closing:
                self._frame(PONG, payload)
            case 0x1:
                return payload.decode(errors="replace")
        return None

    def _frame(self, opcode: int, payload: bytes) -> None:
        size = len(payload)
        length = bytes([size]) if size < 126 else bytes([126]) + size.to_bytes(2, "big")
        self._writer.write(bytes([0x80 | opcode]) + length + payload)


def accept(key: str) -> str:
    """Return what the handshake answers to a key."""
    digest = hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    return base64.b64encode(digest).decode()
