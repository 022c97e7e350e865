"""OFREP over HTTP as an ASGI application: body limit, CORS, token, and the stream of changes."""

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, unquote

from hitless.flags.ofrep import EVENTS, Answer, bulk, event, single
from hitless.flags.served import Client, Served, TooManyStreams
from hitless.kit.errors import InvalidInput

LARGEST_BODY = 1_048_576  # bytes
LARGEST_DISCARDED = 67_108_864  # bytes of a refused body that are read and thrown away
DISCARD_S = 5.0
HEARTBEAT_S = 15.0
BULK = "/ofrep/v1/evaluate/flags"

_CORS = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"ETag, Retry-After"),
]
_PREFLIGHT = [
    (b"access-control-allow-methods", b"POST, GET, OPTIONS"),
    (b"access-control-allow-headers", b"*, Authorization, Content-Type, If-None-Match, X-API-Key, Last-Event-ID"),
    (b"access-control-max-age", b"86400"),
    (b"content-length", b"0"),
]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class TooLarge(Exception):
    """The body is over the limit."""


class Web:
    """The ASGI application. `reload` reads the set files again; only a unix socket offers it."""

    def __init__(self, served: Served, token: str, reload: Callable[[], None]) -> None:
        self._served = served
        self._token = token
        self._reload = reload

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        method, path = scope["method"], scope["path"]
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        if method == "OPTIONS":
            await _send(send, 204, b"", _PREFLIGHT)
        elif path.startswith("/admin/") and scope["server"][1] is None:
            await self._admin(path, receive, send)
        elif not self._allowed(headers):
            await _answer(send, Answer(status=401, headers={"www-authenticate": "Bearer"}))
        elif path == EVENTS and method == "GET":
            await self._events(scope, headers, receive, send)
        elif path.startswith(BULK) and method == "POST":
            await self._evaluate(scope, headers, receive, send)
        else:
            await _error(send, 404, f"there is nothing at {path}")

    async def _evaluate(self, scope: Scope, headers: dict[bytes, str], receive: Receive, send: Send) -> None:
        try:
            body = await _body(headers, receive)
            flags = self._served.selected(headers.get(b"flagd-selector", ""))
        except TooLarge:
            await _too_large(receive, send)
            return
        except InvalidInput as error:
            await _error(send, 400, error.text)
            return
        rest = scope["path"][len(BULK) :]
        if rest in ("", "/"):
            await _answer(
                send, bulk(flags, body, self._served.context, headers.get(b"if-none-match", ""), self._stream(headers))
            )
        elif rest[0] == "/":
            await _answer(send, single(flags, unquote(rest[1:]), body, self._served.context))
        else:
            await _error(send, 404, f"there is nothing at {scope['path']}")

    async def _events(self, scope: Scope, headers: dict[bytes, str], receive: Receive, send: Send) -> None:
        asked = parse_qs(scope["query_string"].decode("latin-1"))
        known = headers.get(b"last-event-id") or asked.get("since", [""])[0]
        peer = headers.get(b"x-forwarded-for") or ":".join(map(str, scope.get("client") or ()))
        try:
            with self._served.connected("ofrep-sse", peer, headers.get(b"user-agent", "")) as client:
                start = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store"), *_CORS]
                await send({"type": "http.response.start", "status": 200, "headers": start})
                telling = asyncio.create_task(self._tell(client, known, send))
                with suppress(asyncio.CancelledError):
                    await _gone(receive)
                telling.cancel()
                with suppress(asyncio.CancelledError, OSError):
                    await telling
        except TooManyStreams as error:
            await _error(send, 429, error.text, (b"retry-after", b"5"))

    async def _tell(self, client: Client, known: str, send: Send) -> None:
        await _piece(send, b": connected\nretry: 1000\n\n")
        versions = self._served.versions()
        upcoming = asyncio.ensure_future(anext(versions))
        first = True
        try:
            while True:
                done, _ = await asyncio.wait([upcoming], timeout=HEARTBEAT_S)
                if not done:
                    await _piece(send, b": alive\n\n")
                    continue
                version = upcoming.result()
                upcoming = asyncio.ensure_future(anext(versions))
                if not first or (known and known != version):
                    await _piece(send, event(version, self._served.changed_at))
                first = False
                client.version = version
        finally:
            upcoming.cancel()

    async def _admin(self, path: str, receive: Receive, send: Send) -> None:
        await _body({}, receive)
        served = self._served
        if path == "/admin/reload":
            try:
                self._reload()
            except InvalidInput as error:
                await _error(send, 400, error.text)
                return
        clients = [
            {
                "name": c.name,
                "protocol": c.protocol,
                "peer": c.peer,
                "agent": c.agent,
                "version": c.version,
                "since": c.since,
            }
            for c in served.clients.values()
        ]
        state = {"version": served.version, "bad": dict(served.all.bad), "clients": clients}
        await _answer(send, Answer(body=json.dumps(state).encode()))

    def _stream(self, headers: dict[bytes, str]) -> str:
        """Return where the stream of changes is; `since` tells a client what it missed between answer and stream."""
        host, address = _host(headers), f"{EVENTS}?since={self._served.version}"
        protocol = "https" if headers.get(b"x-forwarded-proto") == "https" else "http"
        return f"{protocol}://{host}{address}" if host else address

    def _allowed(self, headers: dict[bytes, str]) -> bool:
        given = headers.get(b"authorization", "").removeprefix("Bearer ") or headers.get(b"x-api-key", "")
        return not self._token or hmac.compare_digest(given.encode("latin-1"), self._token.encode())


async def _body(headers: dict[bytes, str], receive: Receive) -> bytes:
    length = headers.get(b"content-length", "0")
    if length.isdigit() and int(length) > LARGEST_BODY:
        raise TooLarge
    body = b""
    while True:
        message = await receive()
        piece: bytes = message.get("body", b"")
        body += piece
        if len(body) > LARGEST_BODY:
            raise TooLarge
        if not message.get("more_body"):
            return body


async def _too_large(receive: Receive, send: Send) -> None:
    """Answer at once, then let the client finish sending, within bounds: who is cut off then reads no answer."""
    said = {"errorCode": "GENERAL", "errorDetails": f"the body is over {LARGEST_BODY} bytes"}
    body = json.dumps(said).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *_CORS]
    await send({"type": "http.response.start", "status": 413, "headers": [*headers, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    left = LARGEST_DISCARDED
    with suppress(TimeoutError):
        async with asyncio.timeout(DISCARD_S):
            while left > 0 and (message := await receive())["type"] == "http.request" and message.get("more_body"):
                left -= len(message["body"])
    await send({"type": "http.response.body", "body": b""})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _host(headers: dict[bytes, str]) -> str:
    host = headers.get(b"host", "")
    plain = host.replace(".", "").replace(":", "").replace("-", "").replace("[", "").replace("]", "")
    return host if plain.isascii() and plain.isalnum() else ""


async def _piece(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _send(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers + _CORS})
    await send({"type": "http.response.body", "body": body})


async def _answer(send: Send, answer: Answer) -> None:
    headers = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
    if answer.status != 304:
        headers += [(b"content-type", b"application/json"), (b"content-length", str(len(answer.body)).encode())]
    await _send(send, answer.status, answer.body, headers)


async def _error(send: Send, status: int, text: str, *more: tuple[bytes, bytes]) -> None:
    body = json.dumps({"errorCode": "GENERAL", "errorDetails": text}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *more]
    await _send(send, status, body, headers)
