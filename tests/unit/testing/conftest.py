"""A small real server that behaves well, and badly where it is told to."""

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

Lines = dict[str, str]


@dataclass
class SmallServer:
    """HTTP/1.1 on a free port; `rows` are the ids that POSTs brought, by how often."""

    version: str = "1.0"
    rows: dict[str, int] = field(default_factory=dict)
    forget: set[int] = field(default_factory=set)  # POSTs (by number) that are acknowledged but not kept
    users: set[str] = field(default_factory=set)
    connections: int = 0
    posts: int = 0
    going_down: asyncio.Event = field(default_factory=asyncio.Event)  # closes what is long, properly
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *rest = head.rstrip().split("\r\n")
        method, path, _ = first.split(" ")
        lines = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
        body = await reader.readexactly(int(lines.get("content-length", 0)))
        self.users.add(lines.get("x-user-id", ""))
        match path.split("/")[1]:
            case "error":
                answer(writer, 500, b"oops", self.version)
            case "cut":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
                return False
            case "reset":
                writer.transport.abort()
                return False
            case "nonsense":
                writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")
                return False
            case "silent":
                await self.going_down.wait()
                return False
            case "download":
                await self._download(writer)
            case "stream":
                await self._stream(writer)
            case "ws":
                await self._websocket(reader, writer, lines["sec-websocket-key"], int(path.rpartition("/")[2]))
                return False
            case "rows" if method == "POST":
                self._post(writer, body)
            case "rows":
                id_ = path.rpartition("/")[2]
                answer(
                    writer,
                    200 if id_ in self.rows else 404,
                    json.dumps({"id": id_, "times": self.rows.get(id_)}).encode(),
                    self.version,
                )
            case _:
                answer(writer, 200, b'{"fine": true}', self.version)
        await writer.drain()
        return lines.get("connection") != "close"

    def _post(self, writer: asyncio.StreamWriter, body: bytes) -> None:
        id_ = json.loads(body)["id"]
        self.posts += 1
        if self.posts not in self.forget:
            self.rows[id_] = self.rows.get(id_, 0) + 1
        answer(writer, 201, json.dumps({"id": id_}).encode(), self.version)

    async def _download(self, writer: asyncio.StreamWriter) -> None:
        digest = base64.b64encode(hashlib.sha256(b"x" * 50 + b"complete").digest()).decode()
        writer.write(f"HTTP/1.1 200 OK\r\nRepr-Digest: sha-256=:{digest}:\r\n".encode())
        writer.write(b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(5):
            writer.write(b"a\r\n" + b"x" * 10 + b"\r\n")
            await asyncio.sleep(0.005)
        said = b"cut short" if self.going_down.is_set() else b"complete"
        writer.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(said), said))

    async def _stream(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not self.going_down.is_set():
            writer.write(b"9\r\ndata: 1\n\n\r\n")
            await asyncio.sleep(0.005)
        writer.write(b"0\r\n\r\n")

    async def _websocket(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str, code: int) -> None:
        accept = base64.b64encode(hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
        writer.write(b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        writer.write(b"\x81\x04tick\x89\x02hi")  # a message of its own, and a ping
        while not self.going_down.is_set():
            opcode, size = await reader.readexactly(2)
            mask = await reader.readexactly(4)
            payload = bytes(b ^ mask[i % 4] for i, b in enumerate(await reader.readexactly(size & 0x7F)))
            if opcode & 0x0F == 8:
                return
            if opcode & 0x0F == 1:
                writer.write(bytes([0x81, len(payload)]) + payload)
        if code:
            writer.write(b"\x88\x02" + code.to_bytes(2, "big"))


def answer(writer: asyncio.StreamWriter, status: int, body: bytes, version: str) -> None:
    writer.write(f"HTTP/1.1 {status} Whatever\r\nX-Version: {version}\r\nContent-Length: {len(body)}\r\n".encode())
    writer.write(b"Content-Type: application/json\r\n\r\n" if body[:1] == b"{" else b"\r\n")
    writer.write(body)


@pytest.fixture
async def server() -> AsyncIterator[SmallServer]:
    small = SmallServer()
    listening = await asyncio.start_server(small.serve, "127.0.0.1", 0)
    small.port = listening.sockets[0].getsockname()[1]
    try:
        yield small
    finally:
        small.going_down.set()
        listening.close()
        await asyncio.sleep(0)
