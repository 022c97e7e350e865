"""The recorder: takes the gateway's log over TCP, counts it by the second, hands the seconds to who asks.

A process of its own, so that the controller may die and find, when it is back, what users felt in the meantime.
Followers come to a unix socket, send one line `{"since": SECONDS}`, and get one line for each second from then on.
Whoever begins a test of a service says `{"test": SERVICE, "run": RUN}` and gets an empty line; again it goes on.
`"end": true` beside it says that the test is over; so is one of which nothing was heard for LEASE_S.
`"conversion": {"at": SERVICE, "method": METHOD, "within_s": SECONDS}` beside it says what its users are expected to do.
`{"forget": true}` is answered like a test: what users felt until now says nothing of any version.
"""

import asyncio
import json
import os
import signal
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from hitless.kit.clock import SystemClock
from hitless.signals.counting import Counter, Row
from hitless.signals.lines import Lines, announced_loss
from hitless.signals.outcomes import Conversion
from hitless.signals.wire import write_second

Parse = Callable[[str], Row | None]  # None: a line that is no request; ValueError: unreadable

MEMORY_S = 7200  # seconds that are kept
SOURCES_LIMIT = 32  # connections that bring records
FOLLOWERS_LIMIT = 64
TESTS_LIMIT = 16  # services whose test is known; beyond it the one is over that was not heard of for longest
LEASE_S = 7200.0  # a test of which nothing is heard for so long is over; as long as what is remembered
BACKLOG = 120  # seconds that wait for a follower before it is cut off
REST_S = 0.01  # between two looks at what a source has sent; HAProxy keeps what waits
LOOK_S = 0.1  # how often it looks whether a second is over
ASK_WITHIN_S = 5.0  # for a follower to say since when
QUESTION_LIMIT = 1024  # bytes
CHUNK = 256  # seconds written at a time


class Recorder:
    """Counts, remembers, and tells the followers."""

    def __init__(self, parse: Parse, clock: SystemClock, *, memory_s: int = MEMORY_S) -> None:
        self._parse, self._clock = parse, clock
        self._counter = Counter(self._now_ms())
        self._memory: deque[tuple[int, bytes]] = deque(maxlen=memory_s)
        self._followers: dict[asyncio.Queue[bytes], asyncio.WriteTransport] = {}
        self._sources: set[asyncio.Transport] = set()
        self.tests: dict[str, tuple[str, float]] = {}  # service -> the run that tests it, and when it last said so

    def join(self, source: asyncio.Transport) -> bool:
        """Take a new connection that brings records; False: there are too many."""
        if len(self._sources) >= SOURCES_LIMIT:
            return False
        self._sources.add(source)
        return True

    def leave(self, source: asyncio.Transport, *, whole: bool) -> None:
        """A connection has ended; whole: all that it had to say was read."""
        self._sources.discard(source)
        if not whole:
            self.lose(1)

    def hang_up(self) -> None:
        """End every connection."""
        for transport in [*self._sources, *self._followers.values()]:
            transport.abort()

    def take(self, lines: list[str]) -> None:
        """Count the lines of the gateway."""
        records, parse = [], self._parse
        for line in lines:
            try:
                record = parse(line)
            except (ValueError, LookupError):
                self.lose(1)
                continue
            if record is not None:
                records.append(record)
            elif (lost := announced_loss(line)) > 0:
                self.lose(lost)
        self._counter.count(records)

    def lose(self, records: int) -> None:
        """Say that records are missing now."""
        self._counter.lose(self._now_ms(), records)

    def forget(self) -> None:
        """Begin anew, as if it had been started now: whoever asks for what was before is told of a gap."""
        self._counter = Counter(self._now_ms(), forgets=True)
        self._memory.clear()
        self.tests.clear()

    async def tick(self) -> None:
        """Close seconds for ever, and tell them."""
        while True:
            if not self._sources:
                self.lose(1)  # nobody brings records: silence is no evidence
            self.end_unheard()
            for second in self._counter.close(self._now_ms()):
                line = write_second(second)
                self._memory.append((second.at, line))
                self._tell(line)
            await asyncio.sleep(LOOK_S)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one follower until it goes, or is cut off because it is slow."""
        try:
            async with asyncio.timeout(ASK_WITHIN_S):
                question = _question(await reader.readline())
            if not isinstance(question, float):
                self.forget() if question is None else self._hear(*question[:3], ends=question[3])
                writer.write(b"\n")
                await writer.drain()
            elif len(self._followers) < FOLLOWERS_LIMIT:
                await self._serve(question, reader, writer)
        except (OSError, ValueError, LookupError, TimeoutError):
            pass  # a question that is none, or nobody there any more: hanging up is the answer
        finally:
            writer.transport.abort()

    def begin(self, service: str, run: str, conversion: Conversion | None = None) -> None:
        """A run begins its test of a service; said again, it goes on."""
        before, _ = self.tests.pop(service, ("", 0.0))
        if len(self.tests) >= TESTS_LIMIT:
            self._end(next(iter(self.tests)))
        self.tests[service] = run, self._clock.now()
        if before != run:
            self._counter.begin(service, conversion)

    def end(self, service: str, run: str) -> None:
        """The test of a service is over, if it is this run that tests it."""
        if self.tests.get(service, ("", 0.0))[0] == run:
            self._end(service)

    def _end(self, service: str) -> None:
        del self.tests[service]
        self._counter.end(service)

    def end_unheard(self) -> None:
        """End the tests of controllers that are gone for good."""
        now = self._clock.now()
        for service in [each for each, (_, heard) in self.tests.items() if now - heard > LEASE_S]:
            self._end(service)

    def _hear(self, service: str, run: str, conversion: Conversion | None, *, ends: bool) -> None:
        if ends:
            self.end(service, run)
        else:
            self.begin(service, run, conversion)

    async def _serve(self, since: float, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        queue: asyncio.Queue[bytes] = asyncio.Queue(maxsize=BACKLOG)
        past = [line for at, line in self._memory if at >= since]
        self._followers[queue] = writer.transport
        sending = asyncio.ensure_future(_send(past, queue, writer))
        gone = asyncio.ensure_future(reader.read(1))  # a follower says nothing more; if it hangs up this returns
        try:
            await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._followers.pop(queue, None)
            for task in (sending, gone):
                task.cancel()
                with suppress(asyncio.CancelledError, OSError):
                    await task

    def _tell(self, line: bytes) -> None:
        for queue, transport in list(self._followers.items()):
            try:
                queue.put_nowait(line)
            except asyncio.QueueFull:  # too slow: it may come back and ask for what it missed
                del self._followers[queue]
                transport.abort()

    def _now_ms(self) -> int:
        return round(self._clock.now() * 1000)


class _Source(asyncio.Protocol):
    """One connection of the gateway's log ring, read now and then: to be woken for each record costs more than it."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._lines = Lines()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
            if not self._recorder.join(transport):
                transport.abort()

    def data_received(self, data: bytes) -> None:
        self._recorder.take(self._lines.feed(data))
        if self._transport is None:
            return
        if self._lines.broken:
            self._transport.abort()
            return
        self._transport.pause_reading()
        asyncio.get_running_loop().call_later(REST_S, self._transport.resume_reading)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._recorder.leave(self._transport, whole=exc is None and self._lines.whole)


async def _send(past: list[bytes], queue: asyncio.Queue[bytes], writer: asyncio.StreamWriter) -> None:
    for begin in range(0, len(past), CHUNK):
        writer.write(b"".join(past[begin : begin + CHUNK]))
        await writer.drain()
    while True:
        writer.write(await queue.get())
        await writer.drain()


def _question(line: bytes) -> float | tuple[str, str, Conversion | None, bool] | None:
    """Return since when a follower wants to know, or which run tests which service, for what, and whether it ends.

    None: all is to be forgotten.
    """
    question = json.loads(line)
    if isinstance(question, dict):
        if question.get("forget") is True:
            return None
        if isinstance(since := question.get("since"), int | float):
            return float(since)
        service, run = question.get("test"), question.get("run")
        if isinstance(service, str) and isinstance(run, str):
            return service, run, _conversion(question.get("conversion")), question.get("end") is True
    raise ValueError(f"{line!r} is no question")


def _conversion(plain: object) -> Conversion | None:
    if plain is None:
        return None
    if not isinstance(plain, dict):
        raise ValueError(f"{plain!r} is no conversion")  # noqa: TRY004  an unreadable question, like all others
    return Conversion(at=str(plain["at"]), method=str(plain["method"]), within_s=float(plain["within_s"]))


@asynccontextmanager
async def recording(tcp_port: int, socket_path: Path, parse: Parse, *, memory_s: int = MEMORY_S) -> AsyncIterator[int]:
    """Record for as long as the context lasts; yields the port of the log (`tcp_port`, or a free one for 0).

    Raises OSError if the port is taken: one recorder at a time, and the socket belongs to it.
    """
    recorder = Recorder(parse, SystemClock(), memory_s=memory_s)
    loop = asyncio.get_running_loop()
    sources = await loop.create_server(lambda: _Source(recorder), "127.0.0.1", tcp_port)
    async with sources, asyncio.TaskGroup() as group:
        listener = _listen(socket_path)
        followers = await asyncio.start_unix_server(recorder.answer, sock=listener, limit=QUESTION_LIMIT)
        ticking = group.create_task(recorder.tick())
        try:
            yield int(sources.sockets[0].getsockname()[1])
        finally:
            ticking.cancel()
            followers.close()
            recorder.hang_up()
            _unlink(socket_path)


def _unlink(path: Path) -> None:
    path.unlink(missing_ok=True)


def _listen(path: Path) -> socket.socket:
    """Listen on a unix socket that only our own user can reach, in the place of one that was left behind."""
    _unlink(path)
    listener = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    except BaseException:
        listener.close()
        raise
    finally:
        os.umask(before)
    return listener


async def record(tcp_port: int, socket_path: Path, parse: Parse) -> None:
    """Record until SIGTERM or SIGINT."""
    asked_to_stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked_to_stop.set)
    async with recording(tcp_port, socket_path, parse):
        await asked_to_stop.wait()


def run_recorder(tcp_port: int, socket_path: Path, parse: Parse) -> None:
    """Be the recorder: returns after SIGTERM. Raises OSError if the port is taken."""
    asyncio.run(record(tcp_port, socket_path, parse))
