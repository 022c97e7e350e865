"""HTTP/1.1 as bytes: requests out, answers in. Pure."""

import base64
import hashlib
import json
from collections.abc import Callable

from hitless.testing.load.profile import Profile, Request

HEAD_LIMIT = 64 * 1024  # bytes of status line and headers
BODY_LIMIT = 16 * 1024 * 1024  # bytes that are kept; a download hands them on and keeps none
NO_BODY = (204, 304)


class BadAnswer(Exception):
    """What came is no HTTP answer, or one beyond the bounds."""


def encode_get(profile: Profile, path: str, user: str, *headers: str) -> bytes:
    """Write a GET outside the fixed arrivals: something held, or the reading back."""
    lines = [f"GET {path} HTTP/1.1", f"Host: {profile.authority}", f"{profile.user_header}: {user}", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


def encode(profile: Profile, request: Request) -> bytes:
    """Write a request of the run."""
    lines = [
        f"{request.method} {request.path} HTTP/1.1",
        f"Host: {profile.authority}",
        f"{profile.user_header}: {request.user}",
    ]
    if request.fresh:
        lines.append("Connection: close")
    body = ""
    if request.id is not None:
        body = json.dumps({"id": request.id, "item": f"item of {request.user}"})
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        if profile.idempotency_key:
            lines.append(f"Idempotency-Key: {request.id}")
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode("ascii")


class Answer:
    """Reads one answer from the pieces in which it arrives."""

    __slots__ = ("_body", "_chunked", "_left", "_pending", "_sink", "complete", "headers", "received", "status")

    def __init__(self, sink: Callable[[bytes], None] | None = None) -> None:
        self.status = 0  # 0 until the head is here
        self.headers: dict[str, str] = {}
        self.received = 0  # bytes of body
        self.complete = False
        self._body: list[bytes] = []
        self._sink = sink
        self._pending = b""
        self._left: int | None = None  # bytes of the body or chunk still to come; None: until the end of the connection
        self._chunked = False

    @property
    def body(self) -> bytes:
        """The body so far, unless it went to a sink."""
        return b"".join(self._body)

    @property
    def rest(self) -> bytes:
        """Bytes that came after the complete answer: the first frames of a websocket."""
        return self._pending

    @property
    def keeps_alive(self) -> bool:
        """Whether the connection can carry another request."""
        if self.headers.get("connection", "").lower() == "close" or self.headers.get(":version") == "HTTP/1.0":
            return False
        return self.complete and (self._chunked or self._left is not None)

    def feed(self, data: bytes) -> bool:
        """Take the next bytes; tell whether the answer is complete. Raises BadAnswer."""
        data = self._pending + data if self._pending else data
        self._pending = b""
        while not self.status:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                return self._wait_for_head(data)
            self._read_head(data[:end])
            data = data[end + 4 :]
        if self._chunked:
            self._read_chunks(data)
        else:
            self._read_plain(data)
        return self.complete

    def end(self) -> bool:
        """The connection has ended; tell whether that completes the answer."""
        self.complete = self.complete or bool(self.status and not self._chunked and self._left is None)
        return self.complete

    def _wait_for_head(self, data: bytes) -> bool:
        if len(data) > HEAD_LIMIT:
            raise BadAnswer(f"head is over {HEAD_LIMIT} bytes")
        self._pending = data
        return False

    def _read_head(self, head: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        version, _, rest = first.partition(" ")
        if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
            raise BadAnswer(f"no status line: {first[:60]!r}")
        status = int(rest[:3])
        if 100 <= status < 200 and status != 101:
            return  # an interim answer; the real one follows
        self.status = status
        for line in lines:
            name, _, value = line.partition(":")
            self.headers[name.lower()] = value.strip()
        self.headers[":version"] = version
        self._chunked = self.headers.get("transfer-encoding", "").lower() == "chunked"
        length = self.headers.get("content-length")
        if status in NO_BODY or status == 101:
            self._chunked, length = False, "0"
        if self._chunked or length is not None:
            self._left = 0 if self._chunked else _number(length or "", 10)

    def _read_plain(self, data: bytes) -> None:
        if self._left is None:
            self._take(data)
            return
        self._take(data[: self._left])
        self._pending = data[self._left :]
        self._left -= min(self._left, len(data))
        self.complete = self._left == 0

    def _read_chunks(self, data: bytes) -> None:
        while data:
            if self._left:
                piece = data[: self._left]
                self._left -= len(piece)
                data = data[len(piece) :]
                self._take(piece)
                continue
            line, found, rest = data.removeprefix(b"\r\n").partition(b"\r\n")
            if not found or (line == b"0" and len(rest) < 2):  # the size, or the empty line after the last, is not here
                break
            self._left = _number(line.split(b";")[0].decode("latin-1"), 16)
            data = rest
            if self._left == 0:
                self.complete = True
                return
        self._pending = data

    def _take(self, data: bytes) -> None:
        if not data:
            return
        self.received += len(data)
        if self._sink is not None:
            self._sink(data)
            return
        if self.received > BODY_LIMIT:
            raise BadAnswer(f"body is over {BODY_LIMIT} bytes")
        self._body.append(data)


def wrong(request: Request, answer: Answer) -> str | None:
    """Return why a complete answer counts as failed, None if it does not."""
    if not 200 <= answer.status < 400:
        return f"status-{answer.status}"
    if request.id is not None and request.id.encode() not in answer.body:
        return "wrong-body"
    if answer.headers.get("content-type", "").startswith("application/json"):
        try:
            json.loads(answer.body)
        except ValueError:
            return "wrong-body"
    return None


class Digest:
    """Checks a body against the Repr-Digest header (RFC 9530) that came with it."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()

    def update(self, data: bytes) -> None:
        """Take the next bytes of the body."""
        self._sha256.update(data)

    def matches(self, header: str | None) -> bool:
        """Tell whether the body is the one announced; True if nothing was announced."""
        announced = dict(part.strip().partition("=")[::2] for part in (header or "").split(","))
        expected = announced.get("sha-256")
        return expected is None or expected == f":{base64.b64encode(self._sha256.digest()).decode()}:"


def _number(text: str, base: int) -> int:
    try:
        number = int(text.strip(), base)
    except ValueError:
        raise BadAnswer(f"no length: {text[:40]!r}") from None
    if number < 0:
        raise BadAnswer(f"no length: {text[:40]!r}")
    return number
