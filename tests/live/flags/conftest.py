"""A real flag server: a process, its files and its ports."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hitless.kit.files import write_atomic


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """The process on ports that stay the same over restarts."""

    def __init__(self, sets: dict[str, Path], *more: str) -> None:
        self.sets = sets
        self.more = more
        self.http, self.grpc = free_port(), free_port()
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        named = [part for name, path in self.sets.items() for part in ("--set", f"{name}={path}")]
        address = ["--listen", f"127.0.0.1:{self.http}", "--grpc", f"127.0.0.1:{self.grpc}"]
        command = [sys.executable, "-m", "hitless.flags.serve", *named, *address, *self.more]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline().startswith("flags: ")
        self.until(self._answers)

    def _answers(self) -> bool:
        try:
            return self.post("/ofrep/v1/evaluate/flags", {})[0] in (200, 401)
        except OSError:
            return False

    def kill(self, number: int = signal.SIGKILL) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(timeout=20)
        if self.process.stdout:
            self.process.stdout.close()

    def reload(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGHUP)

    def write(self, flags: dict[str, Any], name: str = "default") -> None:
        write_atomic(self.sets[name], json.dumps({"flags": flags}))
        if self.process:
            self.reload()

    def post(self, path: str, body: Any, **headers: str) -> tuple[int, dict[str, str], Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=10)
        try:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request("POST", path, content, {"Content-Type": "application/json", **named})
            answer = connection.getresponse()
            read = answer.read()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, found, json.loads(read) if read else None
        finally:
            connection.close()

    def value(self, key: str = "f", **context: Any) -> Any:
        return self.post(f"/ofrep/v1/evaluate/flags/{key}", {"context": context})[2].get("value")

    @staticmethod
    def until(happened: Any, within_s: float = 30.0) -> None:
        end = time.monotonic() + within_s
        while not happened():
            assert time.monotonic() < end, "it did not happen in time"
            time.sleep(0.02)


OFF = {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off"}


@pytest.fixture
def new_server() -> type[Server]:
    return Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server({"default": tmp_path / "set.json"})
    made.write({"f": OFF})
    made.start()
    yield made
    if made.process and made.process.poll() is None:
        made.kill()


@pytest.fixture(scope="module")
def new_testbed_server() -> type[Server]:
    return Server
