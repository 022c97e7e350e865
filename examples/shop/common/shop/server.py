"""Serves one service over HTTP/1.1, and stops without dropping anything."""

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import traceback
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

from shop.http import REASONS, Answer, Request, Response, Stream, Upgrade, Wrong, as_error, as_json, parse_head
from shop.websocket import Websocket, accept

HEAD_LIMIT = 32 * 1024
BODY_LIMIT = 64 * 1024
CONNECTIONS = 2000
IDLE_S = 75.0  # of a connection between two requests
LINGER_S = 0.2  # after TERM: for requests that are already under way on connections that seemed idle
FAIL_SHARE = float(os.environ.get("SHOP_FAIL_SHARE", "0"))  # of all requests, in every version
GRACE_S = 8.0  # after TERM: for what is in flight; hitless sends KILL after 10


class Service:
    """What a service of the shop is: override `handle`, and `prepare` for what must be there first."""

    name = "service"

    def __init__(self) -> None:
        self.version = os.environ.get("HITLESS_VERSION") or Path.cwd().name
        self.instance = os.environ.get("HITLESS_INSTANCE") or f"{self.name}-{os.getpid()}"
        self.stopping = asyncio.Event()

    async def prepare(self) -> None:
        """Called again and again until it raises nothing; /ready is 503 as long."""

    async def check(self) -> None:
        """Raise if no request could be served now; asked by /ready."""

    async def handle(self, request: Request) -> Answer:
        """Answer a request."""
        raise Wrong(404, f"no {request.path}")

    async def pause(self, seconds: float) -> bool:
        """Wait; return at once and False when the service is stopping."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), seconds)
        return not self.stopping.is_set()


class Server:
    """The connections of one process."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._prepared = False
        self._open: set[asyncio.Task[None]] = set()
        self._idle: set[asyncio.Task[None]] = set()

    async def run(self, port: int) -> None:
        """Serve until TERM or INT; return when everything has ended well, GRACE_S later at most."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._service.stopping.set)
        listening = await asyncio.start_server(self._connected, "127.0.0.1", port, limit=HEAD_LIMIT, backlog=1024)
        preparing = asyncio.create_task(self._prepare())
        await self._service.stopping.wait()
        listening.close()
        preparing.cancel()
        await self._finish()

    async def _prepare(self) -> None:
        while True:
            try:
                await self._service.prepare()
            except Exception as problem:  # noqa: BLE001  whatever is missing, it may come
                print(f"not yet: {problem}", file=sys.stderr, flush=True)
                await asyncio.sleep(0.3)
            else:
                self._prepared = True
                return

    async def _finish(self) -> None:
        if self._open:
            await asyncio.wait(self._open, timeout=LINGER_S)
        for task in list(self._idle):
            task.cancel()
        if self._open:
            await asyncio.wait(self._open, timeout=GRACE_S)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._open) >= CONNECTIONS:
            writer.close()
            return
        self._open.add(task)
        try:
            while await self._one(reader, writer, task):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            pass  # the other side went, or never said anything of use
        except asyncio.CancelledError:
            pass  # idle, and the service stops
        finally:
            self._open.discard(task)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, task: asyncio.Task[None]) -> bool:
        self._idle.add(task)
        try:
            async with asyncio.timeout(IDLE_S):
                head = await reader.readuntil(b"\r\n\r\n")
        finally:
            self._idle.discard(task)
        try:
            request = parse_head(head)
            request.body = await self._body(request, reader)
        except Wrong as wrong:
            self._respond(writer, as_error(wrong), keep=False)
            return False
        answer = await self._answer(request)
        match answer:
            case Response():
                keep = request.headers.get("connection", "").lower() != "close" and not self._service.stopping.is_set()
                self._respond(writer, answer, keep=keep, bodiless=request.method == "HEAD")
                await writer.drain()
                return keep
            case Stream():
                await self._stream(writer, answer)
            case Upgrade():
                await self._upgrade(request, reader, writer, answer)
        return False

    async def _body(self, request: Request, reader: asyncio.StreamReader) -> bytes:
        if "transfer-encoding" in request.headers:
            raise Wrong(413, "say how long the body is: Content-Length")
        size = request.headers.get("content-length", "0")
        if not size.isdigit() or int(size) > BODY_LIMIT:
            raise Wrong(413, f"a body has at most {BODY_LIMIT} bytes")
        async with asyncio.timeout(IDLE_S):
            return await reader.readexactly(int(size))

    async def _answer(self, request: Request) -> Answer:
        try:
            if request.path == "/ready":
                return await self._ready()
            if random.random() < FAIL_SHARE:
                return as_json({"error": "bad luck, as SHOP_FAIL_SHARE says"}, 500)
            return await self._service.handle(request)
        except Wrong as wrong:
            return as_error(wrong)
        except Exception:  # noqa: BLE001  one request fails, not the service
            traceback.print_exc()
            return as_json({"error": "something broke here"}, 500)

    async def _ready(self) -> Response:
        if not self._prepared or self._service.stopping.is_set():
            return as_json({"ready": False}, 503)
        try:
            async with asyncio.timeout(3):
                await self._service.check()
        except Exception as problem:  # noqa: BLE001  whatever it is, it is not ready
            return as_json({"ready": False, "why": str(problem)}, 503)
        return as_json({"ready": True})

    def _respond(self, writer: asyncio.StreamWriter, answer: Response, *, keep: bool, bodiless: bool = False) -> None:
        lines = [*self._lines(answer.status, answer.type), f"Content-Length: {len(answer.body)}"]
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        lines += [] if keep else ["Connection: close"]
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + (b"" if bodiless else answer.body))

    def _lines(self, status: int, type_: str) -> list[str]:
        return [
            f"HTTP/1.1 {status} {REASONS.get(status, 'Other')}",
            f"X-Version: {self._service.version}",
            f"X-Instance: {self._service.instance}",
            f"Content-Type: {type_}",
        ]

    async def _stream(self, writer: asyncio.StreamWriter, answer: Stream) -> None:
        lines = [*self._lines(200, answer.type), "Transfer-Encoding: chunked", "Cache-Control: no-store"]
        writer.write("\r\n".join([*lines, "Connection: close", "", ""]).encode())
        async for piece in answer.pieces:
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def _upgrade(
        self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Upgrade
    ) -> None:
        key = request.headers.get("sec-websocket-key")
        if key is None or request.headers.get("upgrade", "").lower() != "websocket":
            self._respond(writer, as_json({"error": "this is a websocket"}, 426), keep=False)
            return
        lines = ["HTTP/1.1 101 Switching Protocols", *self._lines(101, "text/plain")[1:3], "Upgrade: websocket"]
        lines += ["Connection: Upgrade", f"Sec-WebSocket-Accept: {accept(key)}"]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        websocket = Websocket(reader, writer)
        closing = asyncio.create_task(self._close_when_stopping(websocket))
        try:
            await answer.talk(websocket)
        finally:
            closing.cancel()

    async def _close_when_stopping(self, websocket: Websocket) -> None:
        await self._service.stopping.wait()
        websocket.close(1001)


async def lines_of(service: Service, seconds: float, every_s: float) -> AsyncIterator[bytes]:
    """A download that takes its time; its last line says `complete` and the bytes before, or `closed` if cut short."""
    size = 0
    for number in range(max(1, int(seconds / every_s))):
        piece = b"%06d %s\n" % (number, b"." * 992)
        size += len(piece)
        yield piece
        if not await service.pause(every_s):
            yield b"closed after %d bytes\n" % size
            return
    yield b"complete after %d bytes\n" % size


def serve(service: type[Service]) -> None:
    """Run a service as its command line says: --port N."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--port", type=int, default=int(os.environ.get("PORT", "0")))
    port = parser.parse_args().port

    async def run() -> None:
        one = service()
        print(json.dumps({"started": one.name, "version": one.version, "port": port}), flush=True)
        await Server(one).run(port)

    asyncio.run(run())
