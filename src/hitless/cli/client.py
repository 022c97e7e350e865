"""Talks to the controller over its unix socket. Outlives a controller that is killed and comes back."""

import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hitless.kit.errors import Exit, HitlessError
from hitless.kit.files import socket_folder
from hitless.runtime.supervisor import Shims

ANSWER_S = 60.0
COMES_BACK_S = 60.0  # how long a killed controller may take to return before we give up
RETURNS_S = 30.0  # the same for a plain command, as long as a shim is there to start it again


class Unreachable(HitlessError):
    """Nobody answers; the controller is down or starting."""


class Unanswered(Unreachable):
    """The controller went away while it was being asked: it may have done it, or not."""


class Client:
    """One system's controller."""

    def __init__(self, state: Path) -> None:
        self._socket = socket_folder(state) / "controller.sock"
        self._token_file = state / "run" / "token"
        self._shims = Shims(state)

    def get(self, path: str) -> Any:
        """Ask. Raises HitlessError as the controller says it, Unreachable if nobody answers."""
        return self._until_answered(lambda: self._exchange("GET", path, None), Unreachable)

    def post(self, path: str, body: dict[str, Any] | None = None, *, within_s: float = ANSWER_S) -> Any:
        """Tell. Raises HitlessError as the controller says it, Unreachable if nobody answers."""

        def call() -> Any:
            return self._exchange("POST", path, body or {}, within_s)

        return self._until_answered(call, Unreachable, but=Unanswered)

    def tell(self, path: str, body: dict[str, Any]) -> Any:
        """Tell what may be told twice, because the body names it (`key`) or because a second time is refused.

        What is refused as done already, after an answer was lost, was done the first time: then an empty answer.
        """
        lost = False

        def call() -> Any:
            nonlocal lost
            try:
                return self._exchange("POST", path, body)
            except Unanswered:
                lost = True
                raise
            except HitlessError as error:
                if lost and error.code == "wrong-state":
                    return {}
                raise

        return self._until_answered(call, Unreachable)

    def patiently(self, path: str, *, patience_s: float = COMES_BACK_S) -> Any:
        """Ask, and wait for a controller that is just coming back."""
        return self._patiently(lambda: self._exchange("GET", path, None), patience_s)

    def patiently_post(self, path: str, *, patience_s: float = COMES_BACK_S) -> Any:
        """Tell, and wait for a controller that is just coming; only for what may be told twice."""
        return self._patiently(lambda: self._exchange("POST", path, {}), patience_s)

    def follow(self, run: str, *, after: int = 0, patience_s: float = COMES_BACK_S) -> Iterator[dict[str, Any] | None]:
        """Yield the journal of a run behind a position until it is at rest; goes on over a killed controller.

        Yields None about once a second while nothing happens.
        """
        deadline = time.monotonic() + patience_s
        while True:
            try:
                for line in self._stream(f"/v1/runs/{run}/journal?after={after}"):
                    deadline = time.monotonic() + patience_s
                    after = line["position"] if line else after
                    yield line
                    if line and line["fact"] == "ended" and line["last"]:
                        return
            except Unreachable:
                if time.monotonic() > deadline:
                    raise
            yield None
            time.sleep(0.1)

    def _until_answered(
        self, call: Callable[[], Any], again: type[Unreachable], *, but: type[Unreachable] | None = None
    ) -> Any:
        """Try again while a shim is about to bring the controller back."""
        deadline = time.monotonic() + RETURNS_S
        while True:
            try:
                return call()
            except again as error:
                if (but is not None and isinstance(error, but)) or time.monotonic() > deadline or not self._returns():
                    raise
                time.sleep(0.05)

    def _returns(self) -> bool:
        status = self._shims.status("controller")
        return status is not None and status.wanted and status.shim is not None

    @staticmethod
    def _patiently(call: Callable[[], Any], patience_s: float) -> Any:
        deadline = time.monotonic() + patience_s
        while True:
            try:
                return call()
            except Unreachable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def _exchange(self, method: str, path: str, body: dict[str, Any] | None, within_s: float = ANSWER_S) -> Any:
        connection = self._connect(within_s)
        try:
            encoded = None if body is None else json.dumps(body).encode()
            connection.request(method, path, encoded, self._headers())
            return _content(connection.getresponse())
        except (OSError, http.client.HTTPException) as error:
            raise Unanswered("not-running", f"the controller went away ({error})", "see: hitless runs") from None
        finally:
            connection.close()

    def _stream(self, path: str) -> Iterator[dict[str, Any] | None]:
        connection = self._connect(ANSWER_S)
        try:
            connection.request("GET", path, None, self._headers())
            response = connection.getresponse()
            if response.status != http.HTTPStatus.OK:
                _content(response)
            while line := response.readline():
                yield json.loads(line) if line.strip() else None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _unreachable(error) from None
        finally:
            connection.close()

    def _connect(self, timeout_s: float) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("controller", timeout=timeout_s)
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(timeout_s)
        try:
            connection.sock.connect(str(self._socket))
        except OSError as error:
            connection.sock.close()
            raise _unreachable(error) from None
        return connection

    def _headers(self) -> dict[str, str]:
        try:
            token = self._token_file.read_text().strip()
        except FileNotFoundError:
            raise Unreachable("not-running", "the system is not up", "start it: hitless up") from None
        return {"authorization": f"Bearer {token}", "content-type": "application/json"}


def _unreachable(error: Exception) -> Unreachable:
    return Unreachable("not-running", f"the controller does not answer ({error})", "start it: hitless up")


def _content(response: http.client.HTTPResponse) -> Any:
    raw = response.read()
    if response.status == http.HTTPStatus.OK:
        return json.loads(raw)
    try:
        problem = json.loads(raw)
        kind = Unanswered if response.status == http.HTTPStatus.SERVICE_UNAVAILABLE else HitlessError
        failure = kind(problem["code"], problem["text"], problem["hint"])
        failure.exit = Exit(problem["exit"])
    except (ValueError, KeyError, TypeError):
        raise HitlessError("controller-failed", f"the controller answered {response.status}: {raw[:200]!r}") from None
    raise failure
