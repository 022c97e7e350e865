"""Calls to the other services, over the address that hitless gives in HITLESS_URL_<SERVICE>."""

import asyncio
import json
import os
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from shop.http import Wrong

IDLE_S = 3.0
IDLE_CONNECTIONS = 32
CALL_S = 5.0
ANSWER_LIMIT = 1024 * 1024


@dataclass(slots=True)
class Called:
    """What a called service answered."""

    status: int
    version: str
    value: Any


class Gone(Exception):
    """The connection ended before a byte of the answer."""


class Calls:
    """Calls one other service; keeps connections alive."""

    def __init__(self, name: str) -> None:
        self.name = name
        parts = urlsplit(os.environ.get(f"HITLESS_URL_{name.upper()}", ""))
        self._host, self._port, self._prefix = parts.hostname, parts.port or 80, parts.path.rstrip("/")
        self._idle: list[tuple[float, asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def get(self, path: str, headers: dict[str, str]) -> Called:
        """GET a path. Raises Wrong (502) when there is no good answer."""
        if self._host is None:
            raise Wrong(502, f"nobody said where {self.name} is")
        lines = [f"GET {self._prefix}{path} HTTP/1.1", f"Host: {self._host}:{self._port}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        data = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        try:
            async with asyncio.timeout(CALL_S):
                called = await self._exchange(data)
        except (OSError, Gone, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as problem:
            raise Wrong(502, f"{self.name} did not answer: {type(problem).__name__}") from None
        if called.status >= 500:
            raise Wrong(502, f"{self.name} answered {called.status}", failed_in=f"{self.name}/{called.version}")
        return called

    async def _exchange(self, data: bytes) -> Called:
        while (kept := self._kept()) is not None:
            try:
                return await self._on(*kept, data)
            except Gone:  # closed while it was idle: nothing was answered, and a GET may be sent again
                continue
        return await self._on(*await asyncio.open_connection(self._host, self._port), data)

    def _kept(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        oldest = asyncio.get_running_loop().time() - IDLE_S
        while self._idle:
            since, reader, writer = self._idle.pop()
            if since >= oldest and not reader.at_eof():
                return reader, writer
            writer.close()
        return None

    async def _on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> Called:
        keep = False
        try:
            writer.write(data)
            called, keep = await _read(reader)
        finally:
            if keep and len(self._idle) < IDLE_CONNECTIONS:
                self._idle.append((asyncio.get_running_loop().time(), reader, writer))
            else:
                writer.close()
        return called


async def _read(reader: asyncio.StreamReader) -> tuple[Called, bool]:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (ConnectionError, asyncio.IncompleteReadError) as problem:
        if isinstance(problem, asyncio.IncompleteReadError) and problem.partial:
            raise
        raise Gone from None
    first, *lines = head.decode("latin-1").rstrip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    status = int(first.split(" ")[1])
    if "content-length" in headers:
        size = int(headers["content-length"])
        body = await reader.readexactly(min(size, ANSWER_LIMIT))
    else:
        size, body = -1, await reader.read(ANSWER_LIMIT)
    keep = size == len(body) and headers.get("connection", "").lower() != "close"
    value = json.loads(body) if headers.get("content-type") == "application/json" else None
    return Called(status, headers.get("x-version", "?"), value), keep
