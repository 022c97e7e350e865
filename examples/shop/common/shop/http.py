"""Requests in, answers out: the values that a service sees."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from shop.websocket import Websocket

PASSED_ON = ("x-hitless-user", "baggage", "traceparent", "tracestate")  # so that one user meets one version of all
REASONS = {200: "OK", 201: "Created", 303: "See Other", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed",
           409: "Conflict", 413: "Content Too Large", 426: "Upgrade Required", 500: "Internal Server Error",
           502: "Bad Gateway", 503: "Service Unavailable"}  # fmt: skip


@dataclass(slots=True, kw_only=True)
class Request:
    """One request, body and all."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]  # names in lower case
    body: bytes = b""

    @property
    def user(self) -> str:
        """Who asks: as the gateway says, or the client itself where there is none."""
        return self.headers.get("x-hitless-user") or self.headers.get("x-user-id") or "guest"

    @property
    def passed_on(self) -> dict[str, str]:
        """Headers for the services that are called on the way."""
        passed = {name: self.headers[name] for name in PASSED_ON if name in self.headers}
        return passed if "x-hitless-user" in passed else {"x-hitless-user": self.user} | passed

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies by name."""
        pairs = (pair.strip().partition("=") for pair in self.headers.get("cookie", "").split(";"))
        return {name: value for name, _, value in pairs if name}

    def json(self) -> dict[str, Any]:
        """Return the body, which must be a JSON object. Raises Wrong."""
        try:
            value = json.loads(self.body)
        except ValueError:
            raise Wrong(400, "the body is no JSON") from None
        if not isinstance(value, dict):
            raise Wrong(400, "the body is no JSON object")
        return value

    def number(self, name: str, default: float, *, least: float, most: float) -> float:
        """Return a number of the query. Raises Wrong."""
        try:
            value = float(self.query.get(name, default))
        except ValueError:
            raise Wrong(400, f"{name} is no number") from None
        if not least <= value <= most:
            raise Wrong(400, f"{name} must be between {least:g} and {most:g}")
        return value


class Wrong(Exception):
    """The request cannot be answered as asked; becomes an answer with this status."""

    def __init__(self, status: int, text: str, *, failed_in: str | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.headers = {} if failed_in is None else {"X-Failed-In": failed_in}  # SERVICE/VERSION whose fault it is


@dataclass(slots=True)
class Response:
    """An answer that is there at once."""

    status: int
    body: bytes
    type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Stream:
    """An answer that takes its time; the pieces end early when the service stops."""

    pieces: AsyncIterator[bytes]
    type: str


@dataclass(slots=True)
class Upgrade:
    """The connection becomes a websocket; it is closed with 1001 when the service stops."""

    talk: Callable[[Websocket], Awaitable[None]]


Answer = Response | Stream | Upgrade


def as_json(value: object, status: int = 200) -> Response:
    """Answer with JSON."""
    return Response(status, json.dumps(value).encode())


def as_error(wrong: Wrong) -> Response:
    """Say what was wrong."""
    return Response(wrong.status, json.dumps({"error": str(wrong)}).encode(), headers=wrong.headers)


def parse_head(head: bytes) -> Request:
    """Read the request line and the headers. Raises Wrong."""
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    try:
        method, target, version = first.split(" ")
    except ValueError:
        raise Wrong(400, "no request line") from None
    if version not in ("HTTP/1.1", "HTTP/1.0"):
        raise Wrong(400, "no HTTP/1")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    parts = urlsplit(target)
    return Request(method=method, path=parts.path, query=dict(parse_qsl(parts.query)), headers=headers)
