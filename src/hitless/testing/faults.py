"""Faults for live tests: processes that die or hang, ports that are taken, connections that are cut."""

import asyncio
import os
import select
import signal
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Self

PIECE_BYTES = 64 * 1024
CONNECTIONS = 1000


def kill(pid: int, *, wait_s: float = 5.0) -> None:
    """Kill a process with -9 and return when it is dead.

    Raises ProcessLookupError if there is none, TimeoutError after `wait_s` seconds.
    """
    with _process(pid) as handle:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        dead = select.poll()
        dead.register(handle, select.POLLIN)
        if not dead.poll(wait_s * 1000):
            raise TimeoutError(f"process {pid} still lives {wait_s:g} s after KILL")


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Keep a process stopped (it hangs, its ports stay open); it goes on at the end. Raises ProcessLookupError."""
    with _process(pid) as handle:
        signal.pidfd_send_signal(handle, signal.SIGSTOP)
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGCONT)


@contextmanager
def busy_port(port: int = 0) -> Iterator[int]:
    """Hold a TCP port of 127.0.0.1, a free one by default; yield it. Raises OSError if somebody has it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        yield int(taken.getsockname()[1])


@contextmanager
def _process(pid: int) -> Iterator[int]:
    handle = os.pidfd_open(pid)  # from here on it cannot become another process
    try:
        yield handle
    finally:
        os.close(handle)


class CutProxy:
    """TCP from a port of its own to `target`, until told otherwise; new connections go to the target of the moment."""

    def __init__(self, target: int) -> None:
        self.target = target  # port on 127.0.0.1
        self.port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._lines: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        self.cut()
        await asyncio.gather(*self._lines, return_exceptions=True)

    def cut(self) -> None:
        """Reset all connections that are open."""
        for writer in self._writers:
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # RST instead of FIN
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._lines) >= CONNECTIONS:
            writer.close()
            return
        self._lines.add(task)
        try:
            there, answers = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            self._lines.discard(task)
            return
        self._writers |= {writer, answers}
        try:
            await asyncio.gather(_carry(reader, answers), _carry(there, writer))
        finally:
            self._writers -= {writer, answers}
            self._lines.discard(task)
            writer.close()
            answers.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(PIECE_BYTES):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
            return
    writer.close()
