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
TESTS_LIMIT = 64  # that are said again
GAP_LIMIT_S = 7200  # as far back as a recorder remembers


class RecorderTicks:
    """Implements `hitless.signals.ports.Ticks` and `Tests`."""

    def __init__(self, socket_path: Path) -> None:
        self._socket_path = socket_path
        self._tests: dict[str, bytes] = {}  # by service: what was said of its test

    async def follow(self, since: float) -> AsyncIterator[Second]:
        """Yield every closed second from `since` on; one that the recorder has not seen is marked as lost.

        Raises OSError when the recorder is not there, goes away, falls silent or makes no sense.
        """
        for test in list(self._tests.values()):  # a recorder that was started anew has not heard of them
            await self._say(test)
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

        Who follows later says it again, in case the recorder was started anew meanwhile.
        """
        self._tests.pop(service, None)
        if len(self._tests) >= TESTS_LIMIT:
            del self._tests[next(iter(self._tests))]
        plain: dict[str, object] = {"test": service, "run": run}
        if conversion is not None:
            plain["conversion"] = {name: getattr(conversion, name) for name in ("at", "method", "within_s")}
        self._tests[service] = json.dumps(plain).encode() + b"\n"
        await self._say(self._tests[service])

    async def _say(self, test: bytes) -> None:
        async with asyncio.timeout(CONNECT_WITHIN_S):
            reader, writer = await asyncio.open_unix_connection(self._socket_path)
            try:
                writer.write(test)
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
