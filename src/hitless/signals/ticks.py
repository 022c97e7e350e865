"""Follows the recorder over its unix socket."""

import asyncio
import json
import math
from collections.abc import AsyncIterator
from pathlib import Path

from hitless.signals.outcomes import Conversion
from hitless.signals.ports import Second
from hitless.signals.wire import read_second

CONNECT_WITHIN_S = 2.0
SILENCE_S = 10.0  # a recorder says something every second
LINE_LIMIT = 4 << 20  # bytes of one second
GAP_LIMIT_S = 7200  # as far back as a recorder remembers


class RecorderTicks:
    """Implements `hitless.signals.ports.Ticks` and `Tests`."""

    def __init__(self, socket_path: Path) -> None:
        self._socket_path = socket_path

    async def follow(self, since: float) -> AsyncIterator[Second]:
        """Yield every closed second from `since` on; one that the recorder has not seen is marked as lost.

        Raises OSError when the recorder is not there, goes away, falls silent or makes no sense.
        """
        async with asyncio.timeout(CONNECT_WITHIN_S):
            reader, writer = await asyncio.open_unix_connection(self._socket_path, limit=LINE_LIMIT)
        try:
            writer.write(json.dumps({"since": since}).encode() + b"\n")
            due = math.ceil(since)
            while True:
                second = await _next(reader)
                for missing in range(max(due, second.at - GAP_LIMIT_S), second.at):
                    yield Second(at=missing, lost=1)
                if second.at >= due:
                    yield second
                due = max(due, second.at + 1)
        finally:
            writer.transport.abort()

    async def begin(self, service: str, run: str, conversion: Conversion | None = None) -> None:
        """Say that a run begins its test of a service, whose users are then new. Raises OSError if nobody hears it.

        It has to be said again now and then: a recorder that was started anew has not heard of it.
        """
        plain: dict[str, object] = {"test": service, "run": run}
        if conversion is not None:
            plain["conversion"] = {name: getattr(conversion, name) for name in ("at", "method", "within_s")}
        await self._say(plain)

    async def end(self, service: str, run: str) -> None:
        """Say that the test of a run is over. Raises OSError if nobody hears it."""
        await self._say({"test": service, "run": run, "end": True})

    async def forget(self) -> None:
        """Say that what users felt until now says nothing of any version. Raises OSError if nobody hears it."""
        await self._say({"forget": True})

    async def _say(self, test: dict[str, object]) -> None:
        async with asyncio.timeout(CONNECT_WITHIN_S):
            reader, writer = await asyncio.open_unix_connection(self._socket_path)
            try:
                writer.write(json.dumps(test).encode() + b"\n")
                if await reader.readline() != b"\n":
                    raise ConnectionResetError("the recorder has gone away")
            finally:
                writer.transport.abort()


async def _next(reader: asyncio.StreamReader) -> Second:
    async with asyncio.timeout(SILENCE_S):
        try:
            line = await reader.readline()
            if not line.endswith(b"\n"):
                raise ConnectionResetError("the recorder has gone away")
            return read_second(line)
        except ValueError as error:  # also a line beyond the limit
            raise ConnectionAbortedError(str(error)) from None
