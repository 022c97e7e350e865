"""One running shop for all tests of the folder: real processes, changed by the commands that users type."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

import refusals
from hitless.app.demo.shop import copy_shop
from hitless.app.paths import load_system, state_folder
from hitless.cli.client import Client
from hitless.testing.load import Load
from hitless.testing.shop import shop_profile

COMMAND_S = 240.0  # bounds are there for what hangs, not for what takes its time on a busy machine
BOUND_S = 180.0
RATE = 60.0
HELD = ("download-", "stream-", "websocket-")  # failures of what is held begin so


@dataclass
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def json(self) -> Any:
        return json.loads(self.out.splitlines()[-1])


@dataclass
class RunningShop:
    """The shop's folder and what one does with it."""

    file: Path
    changes: int = 0
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        return state_folder(load_system(self.file), self.file)

    def argv(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "hitless.cli.main", "-f", str(self.file), *words]

    def start(self, *words: str, **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.argv(*words),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | env,
            cwd=self.file.parent,
        )

    def run(self, *words: str, expect: int | None = 0, **env: str) -> Done:
        process = self.start(*words, **env)
        try:
            out, err = process.communicate(timeout=COMMAND_S)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError(f"{words} was not over after {COMMAND_S:g} s:\n{out}\n{err}") from None
        done = Done(process.returncode, out, err)
        refusals.heard(out, err)
        assert expect is None or done.code == expect, f"{words} ended with {done.code}:\n{out}\n{err}"
        return done

    def json(self, *words: str, expect: int | None = 0, **env: str) -> Any:
        return self.run("--json", *words, expect=expect, **env).json

    def ask(self, path: str) -> Any:
        """Ask the controller without starting a program; waits for one that is just coming back."""
        return Client(self.state).patiently(path, patience_s=BOUND_S)

    def tell(self, path: str, **body: Any) -> Any:
        """Tell the controller without starting a program."""
        return Client(self.state).tell(path, {"why": "a test", "who": "a test"} | body)

    def change(self, **services: dict[str, Any]) -> str:
        """Write a change file with quick defaults; returns its path."""
        self.changes += 1
        name = f"change-{self.changes}"
        quick = {"bake": "200ms", "evidence": "none"}
        plain = {
            service: wanted if set(wanted) <= {"instances"} else quick | wanted for service, wanted in services.items()
        }
        path = self.file.parent / f"{name}.yaml"
        path.write_text(yaml.safe_dump({"change": name, "services": plain}))
        return str(path)

    def versions(self, service: str) -> dict[str, float]:
        """Which version has which share of the users."""
        versions = self.ask("/v1/status")["services"][service]["versions"]
        return {each["version"]: each["share"] for each in versions if each["share"]}

    def other(self, service: str) -> str:
        """A good version that does not run."""
        known = {"web": ("1.0", "2.0"), "orders": ("1.0", "1.1"), "accounts": ("1.0", "1.1")}[service]
        now = max(self.versions(service).items(), key=lambda item: item[1])[0]
        return known[1] if now == known[0] else known[0]

    def doing(self) -> str:
        """What the newest run does just now."""
        runs = self.ask("/v1/runs")
        steps = self.ask(f"/v1/runs/{runs[0]['run']}")["steps"] if runs else []
        return " ".join(step["describe"] for step in steps if step["state"] == "running")

    def until(self, condition: Any, bound_s: float = BOUND_S) -> float:
        return until(condition, bound_s)

    def instances(self) -> dict[str, int]:
        """The pid of each instance by its name."""
        services = self.ask("/v1/status")["services"].values()
        return {i["id"]: i["pid"] for s in services for version in s["versions"] for i in version["instances"]}

    def pid(self, name: str) -> int:
        return int((self.state / "run" / f"{name}.pid").read_text())

    def shim(self, name: str) -> int:
        return int(json.loads((self.state / "processes" / name / "status.json").read_text())["shim"]["pid"])

    def kill(self, name: str) -> int:
        pid = self.pid(name)
        os.kill(pid, signal.SIGKILL)
        return pid

    def until_back(self, name: str, old: int, bound_s: float = BOUND_S) -> float:
        """Wait until one of ours has another pid; returns how many seconds it took."""
        return until(lambda: self.pid(name) != old, bound_s)

    def get(self, path: str, user: str) -> tuple[int, str]:
        """Ask as a user; returns status and version."""
        host, port = load_system(self.file).gateway.listen.split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=30)
        try:
            connection.request("GET", path, headers={"X-User-Id": user})
            answer = connection.getresponse()
            answer.read()
            return answer.status, answer.headers.get("x-version", "")
        finally:
            connection.close()

    def alive_below(self, folder: Path) -> list[str]:
        return alive_below(folder)

    def assert_whole(self) -> None:
        """Every instance has exactly one process under exactly one shim, and there is nothing beside them."""
        wanted = self.instances()
        assert all(wanted.values()), wanted
        found: dict[str, list[int]] = {}
        for pid, environment in environments():
            if environment.get("HITLESS_INSTANCE") and environment.get("HITLESS_OF") == str(self.file.parent):
                found.setdefault(environment["HITLESS_INSTANCE"], []).append(pid)
        assert {name: [pid] for name, pid in wanted.items()} == found
        shims = [line.split("\0")[-2] for _, line in command_lines() if "/runtime/shim/__main__.py" in line]
        mine = sorted(Path(each).name for each in shims if each.startswith(str(self.state)))
        assert mine == sorted([*wanted, "controller", "gateway", "postgres", "recorder", *self._flags()])

    def _flags(self) -> list[str]:
        return ["flags"] if (self.state / "processes" / "flags" / "spec.json").exists() else []


def until(condition: Any, bound_s: float = BOUND_S) -> float:
    began = time.monotonic()
    while True:
        try:
            if condition():
                return time.monotonic() - began
        except (OSError, ValueError):
            pass
        assert time.monotonic() < began + bound_s, f"not within {bound_s:g} s"
        time.sleep(0.04)  # who is asked has other things to do as well


def command_lines() -> Iterator[tuple[int, str]]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                yield int(folder.name), (folder / "cmdline").read_text()
            except OSError:
                continue


def environments() -> Iterator[tuple[int, dict[str, str]]]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "environ").read_text().split("\0")
            except OSError:
                continue
            yield int(folder.name), dict(word.split("=", 1) for word in words if "=" in word)


def alive_below(folder: Path) -> list[str]:
    """What still runs from that folder."""
    lines = [line.replace("\0", " ") for _, line in command_lines() if str(folder) in line]
    return lines + [str(pid) for pid, environment in environments() if environment.get("HITLESS_OF") == str(folder)]


@contextmanager
def started(*, drain: str = "2s") -> Iterator[RunningShop]:
    """A shop of its own, until nothing of it is left."""
    folder = Path(tempfile.mkdtemp(prefix="hitless-t-"))
    file = copy_shop(folder / "shop")
    plain = yaml.safe_load(file.read_text())
    for section in plain["services"].values():
        section |= {"drain": drain, "ready_timeout": "120s"}
        section["env"] |= {"HITLESS_OF": str(file.parent)}  # so that a test can tell our processes from others
    plain["services"]["orders"]["ready_timeout"] = (
        "15s"  # one of its versions never gets ready; the others do on a busy machine, too
    )
    file.write_text(yaml.safe_dump(plain))
    running = RunningShop(file)
    try:
        running.run("up")
        yield running
    finally:
        running.run("down", "--hold", expect=None)
        left = alive_below(file.parent)
        shutil.rmtree(folder, ignore_errors=True)
    assert left == []


@pytest.fixture(scope="package")
def shop() -> Iterator[RunningShop]:
    with started() as running:
        yield running


@pytest.fixture(scope="module")
def shop_to_keep() -> Iterator[RunningShop]:
    """A second shop, for what cannot be undone; what is held there for long is not waited for."""
    with started(drain="500ms") as running:
        yield running


@pytest.fixture(autouse=True)
def at_rest(shop: RunningShop) -> Iterator[None]:
    """A test that failed half-way leaves no run to the next one."""
    yield
    for run in shop.ask("/v1/runs"):
        if run["state"] in ("running", "held"):
            shop.run("abort", run["run"], expect=None)


@pytest.fixture(scope="package")
def load(shop: RunningShop) -> Iterator[Load]:
    url = f"http://{load_system(shop.file).gateway.listen}"
    load = Load(shop_profile(url, rate=RATE, users=500, download="/orders/download?seconds=3"))
    load.start()
    yield load
    assert load.stop().missing == (), "acknowledged orders are not in the database"


@pytest.fixture
def unharmed(load: Load) -> Iterator[Load]:
    """No request may fail while the test goes on, and nothing that is held be cut."""
    yield from watched(load, held=True)


@pytest.fixture
def answered(load: Load) -> Iterator[Load]:
    """No request may fail while the test goes on; what is held dies with its process."""
    yield from watched(load, held=False)


def watched(load: Load, *, held: bool) -> Iterator[Load]:
    before = load.report()
    yield load
    seen = load.report().total
    until(lambda: load.report().total > seen + RATE / 2)  # what was on its way is in by then
    after = load.report()
    reasons = {reason: count - before.reasons.get(reason, 0) for reason, count in after.reasons.items()}
    counted = {reason: count for reason, count in reasons.items() if count and (held or not reason.startswith(HELD))}
    assert counted == {}, after.to_text()
