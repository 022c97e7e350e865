"""What is held throughout a run: a download, a stream, a websocket. Each is opened again when it ends."""

import asyncio
import os
import ssl
from collections import deque
from collections.abc import Awaitable, Callable

from hitless.testing.load import websocket
from hitless.testing.load.connection import Connection, Lost
from hitless.testing.load.http1 import Answer, BadAnswer, Digest, encode_get
from hitless.testing.load.profile import Profile
from hitless.testing.load.report import Download, Stream, Tally, Websocket

PAUSE_S = 0.2  # after a failure
GENTLE_S = 0.02  # after a proper end
SAYS_BYTES = 200


class _Closed(Exception):
    """The server ended it properly."""


class Held:
    """The long ones of one run; each counts into its own part of the tally."""

    def __init__(self, profile: Profile, tls: ssl.SSLContext | None, tally: Tally) -> None:
        self._profile = profile
        self._tls = tls
        self._tally = tally
        self._ending = False
        self._opened = 0
        self._lines: list[asyncio.Task[None]] = []  # stream and websocket
        self._download: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Open all that the profile asks for."""
        if self._profile.download is not None:
            self._tally.download = Download()
            self._download = asyncio.create_task(self._again("DOWNLOAD", self._profile.download, self._hold_download))
        if self._profile.stream is not None:
            self._tally.stream = Stream()
            self._lines.append(asyncio.create_task(self._again("STREAM", self._profile.stream, self._hold_stream)))
        if self._profile.websocket is not None:
            self._tally.websocket = Websocket()
            socket = self._again("WEBSOCKET", self._profile.websocket, self._hold_websocket)
            self._lines.append(asyncio.create_task(socket))

    async def end(self) -> None:
        """Let a download complete, `finish_s` at most; leave stream and websocket."""
        self._ending = True
        for line in self._lines:
            line.cancel()
        await asyncio.gather(*self._lines, return_exceptions=True)
        if self._download is not None:
            await asyncio.wait([self._download], timeout=self._profile.finish_s)
            if not self._download.done():
                self._download.cancel()
                await asyncio.gather(self._download, return_exceptions=True)
                assert self._tally.download is not None
                self._tally.download.given_up += 1

    def leave(self) -> None:
        """Drop all that is still held, without a word."""
        for line in (*self._lines, *([self._download] if self._download is not None else [])):
            line.cancel()

    async def _again(self, method: str, path: str, hold: Callable[[str, str], Awaitable[None]]) -> None:
        while not self._ending:
            self._opened += 1
            user = f"user-{1 + self._opened % self._profile.users}"
            try:
                await hold(path.replace("{user}", user), user)
            except _Closed:
                self._count(method, "closed")
                await asyncio.sleep(GENTLE_S)
            except (Lost, BadAnswer, TimeoutError) as problem:
                reason = str(problem) if isinstance(problem, Lost) else "bad-answer"
                reason = "timeout" if isinstance(problem, TimeoutError) else reason
                self._count(method, "failed")
                self._tally.fail(method, path, f"{method.lower()}-{reason}")
                await asyncio.sleep(PAUSE_S)

    def _count(self, method: str, what: str) -> None:
        counts = {"DOWNLOAD": self._tally.download, "STREAM": self._tally.stream, "WEBSOCKET": self._tally.websocket}
        setattr(counts[method], what, getattr(counts[method], what) + 1)

    async def _hold_download(self, path: str, user: str) -> None:
        counts, digest, tail = self._tally.download, Digest(), bytearray()
        assert counts is not None

        def take(data: bytes) -> None:
            digest.update(data)
            counts.bytes += len(data)
            tail[:] = (tail + data)[-SAYS_BYTES:]

        answer = await self._read(path, user, take)
        says = self._profile.download_says
        if says is not None and says.encode() not in tail:
            raise _Closed
        if not digest.matches(answer.headers.get("repr-digest")):
            raise Lost("wrong-body")
        counts.completed += 1
        await asyncio.sleep(GENTLE_S)

    async def _hold_stream(self, path: str, user: str) -> None:
        counts = self._tally.stream
        assert counts is not None
        counts.opened += 1

        def take(data: bytes) -> None:
            counts.bytes += len(data)

        await self._read(path, user, take)
        raise _Closed

    async def _read(self, path: str, user: str, take: Callable[[bytes], None]) -> Answer:
        async with asyncio.timeout(self._profile.timeout_s) as silence:
            loop = asyncio.get_running_loop()

            def heard(data: bytes) -> None:
                silence.reschedule(loop.time() + self._profile.timeout_s)
                take(data)

            answer = Answer(heard)
            connection = await Connection.open(self._profile, self._tls)
            try:
                await connection.exchange(encode_get(self._profile, path, user), answer)
            finally:
                connection.close()
        if not 200 <= answer.status < 400:
            raise Lost(f"status-{answer.status}")
        return answer

    async def _hold_websocket(self, path: str, user: str) -> None:
        key, answer = os.urandom(16), Answer()
        async with asyncio.timeout(self._profile.timeout_s):
            connection = await Connection.open(self._profile, self._tls)
            try:
                await connection.exchange(encode_get(self._profile, path, user, *websocket.upgrade(key)), answer)
            except BaseException:
                connection.close()
                raise
        try:
            if not websocket.accepted(key, answer):
                raise Lost(f"status-{answer.status}")
            await _Talk(self._profile, self._tally, connection).go_on(answer.rest)
        finally:
            connection.close()


class _Talk:
    """One open websocket: says something every now and then and wants it back."""

    def __init__(self, profile: Profile, tally: Tally, connection: Connection) -> None:
        assert tally.websocket is not None
        self._profile = profile
        self._counts = tally.websocket
        self._connection = connection
        self._frames = websocket.Frames()
        self._waiting: deque[tuple[float, bytes]] = deque()  # bounded by timeout_s / websocket_every_s
        self._counts.connected += 1

    async def go_on(self, first: bytes) -> None:
        """Talk until the server closes. Raises _Closed, Lost, BadAnswer or TimeoutError."""
        loop = asyncio.get_running_loop()
        self._take(first)
        next_s = loop.time()
        receiving = asyncio.ensure_future(self._connection.receive())
        try:
            while True:
                now = loop.time()
                if self._waiting and self._waiting[0][0] + self._profile.timeout_s <= now:
                    raise TimeoutError
                if next_s <= now:
                    self._say(now)
                    next_s = now + self._profile.websocket_every_s
                await asyncio.wait([receiving], timeout=next_s - now)
                if receiving.done():
                    self._take(receiving.result() or _cut())
                    receiving = asyncio.ensure_future(self._connection.receive())
        except asyncio.CancelledError:
            self._send(websocket.CLOSE, (1000).to_bytes(2, "big"))
            raise
        finally:
            receiving.cancel()

    def _say(self, now: float) -> None:
        text = b"message %d" % self._counts.sent
        self._send(websocket.TEXT, text)
        self._waiting.append((now, text))
        self._counts.sent += 1

    def _send(self, opcode: int, payload: bytes) -> None:
        self._connection.send(websocket.encode(opcode, payload, os.urandom(4)))

    def _take(self, data: bytes) -> None:
        for frame in self._frames.feed(data):
            if frame.opcode == websocket.PING:
                self._send(websocket.PONG, frame.payload)
            elif frame.opcode == websocket.CLOSE:
                self._send(websocket.CLOSE, frame.payload[:2])
                if frame.code not in websocket.PROPER:
                    raise Lost(f"closed-{frame.code}")
                self._counts.unanswered += len(self._waiting)
                raise _Closed
            elif self._waiting and frame.payload == self._waiting[0][1]:
                self._waiting.popleft()
                self._counts.echoed += 1


def _cut() -> bytes:
    raise Lost("cut")
