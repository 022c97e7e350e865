"""One HTTP connection to the system under load, and the pool of those that keep alive."""

import asyncio
import ssl
from collections import deque
from contextlib import suppress
from typing import Self

from hitless.testing.load.http1 import Answer, BadAnswer
from hitless.testing.load.profile import Profile

READ_BYTES = 64 * 1024
IDLE_S = 3.0  # below the keep-alive time of common servers: we do not race their closing


class Lost(Exception):
    """No answer, or half of one; the text is the reason that the report counts."""


class Connection:
    """One connection; raises Lost with one of: refused, unreachable, tls, reset, cut, bad-answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, profile: Profile, tls: ssl.SSLContext | None) -> Self:
        """Connect to the host of the profile."""
        try:
            return cls(*await asyncio.open_connection(profile.host, profile.port, ssl=tls))
        except ConnectionRefusedError:
            raise Lost("refused") from None
        except ConnectionResetError:
            raise Lost("reset") from None
        except ssl.SSLError:
            raise Lost("tls") from None
        except OSError:
            raise Lost("unreachable") from None

    @property
    def usable(self) -> bool:
        """Whether the other side has not closed it, as far as is known here."""
        return not (self._reader.at_eof() or self._writer.is_closing())

    def send(self, data: bytes) -> None:
        """Hand bytes to the kernel, or to the buffer before it."""
        self._writer.write(data)

    async def receive(self) -> bytes:
        """Return the next bytes; none at the end of the connection."""
        try:
            return await self._reader.read(READ_BYTES)
        except OSError:
            raise Lost("reset") from None

    async def exchange(self, data: bytes, answer: Answer) -> None:
        """Send a request and read its whole answer; one of a held path may take as long as it likes."""
        self.send(data)
        try:
            while not answer.complete:
                piece = await self.receive()
                if not piece:
                    if not answer.end():
                        raise Lost("cut")
                    return
                answer.feed(piece)
        except BadAnswer:
            raise Lost("bad-answer") from None

    def close(self) -> None:
        """Close without waiting."""
        self._writer.close()

    async def closed(self) -> None:
        """Close and wait, one second at most."""
        self._writer.close()
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(1):
                await self._writer.wait_closed()


class Pool:
    """Connections that keep alive; the one used last is used next."""

    def __init__(self, profile: Profile, tls: ssl.SSLContext | None) -> None:
        self._profile = profile
        self._tls = tls
        self._idle: deque[tuple[float, Connection]] = deque(maxlen=profile.outstanding)

    async def take(self, *, fresh: bool) -> Connection:
        """Return a connection that nobody else uses. Raises Lost."""
        self._drop_stale()
        while self._idle and not fresh:
            _, connection = self._idle.pop()
            if connection.usable:
                return connection
            connection.close()
        return await Connection.open(self._profile, self._tls)

    def give_back(self, connection: Connection) -> None:
        """Keep a connection for the next request."""
        self._idle.append((asyncio.get_running_loop().time(), connection))

    async def close(self) -> None:
        """Close all that are idle."""
        await asyncio.gather(*(connection.closed() for _, connection in self._idle))
        self._idle.clear()

    def _drop_stale(self) -> None:
        oldest = asyncio.get_running_loop().time() - IDLE_S
        while self._idle and self._idle[0][0] < oldest:
            self._idle.popleft()[1].close()
