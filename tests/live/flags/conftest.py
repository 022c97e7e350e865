"""A real flag server: a process, its files and its ports."""

import http.client
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hitless.kit.files import write_atomic
from hitless.runtime.free_ports import free_port


class Server:
    """The process on ports that stay the same over restarts."""

    def __init__(self, sets: dict[str, Path], *more: str) -> None:
        self.sets = sets
        self.more = more
        self.http = free_port(secrets.randbits(32))
        self.grpc = free_port(secrets.randbits(32), [self.http])
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
        self.process.wait(timeout=120)
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
        connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=60)
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
    def until(happened: Any, within_s: float = 120.0) -> None:
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


# flagd-testbed: features and flags of another project, that lie beside the checkout

FEATURES = ("evaluation", "disabled", "metadata", "selector", "contextEnrichment", "sync-payload", "rpc-caching")
OF_A_LOST_CONNECTION = re.compile(r"connection is lost|was fired|was modified")
PARSE: dict[str, Callable[[str], Any]] = {
    "Boolean": lambda text: text.lower() == "true",
    "String": str,
    "Integer": int,
    "Float": float,
    "Object": lambda text: json.loads(text.replace('\\"', '"') or "{}"),
}


def folder_of_testbed() -> Path:
    named = os.environ.get("HITLESS_FLAGD_TESTBED")
    beside = [above / "shared" / "data" / "flagd" for above in Path(__file__).parents[4:6]]
    return Path(named) if named else next((folder for folder in beside if folder.is_dir()), beside[0])


@dataclass
class Case:
    """One scenario: what is asked with which options and context, and what must come out after each asking."""

    name: str
    tags: set[str]
    options: dict[str, str] = field(default_factory=dict)
    context: dict[str, Any] = field(default_factory=dict)
    targeting_key: str | None = None
    flag: tuple[str, str, Any] = ("", "", None)  # type, key, the caller's own default
    askings: list[dict[str, Any]] = field(default_factory=list)  # what is wanted after each: value, reason, ...

    @property
    def wanted(self) -> dict[str, Any]:
        return self.askings[-1]

    def step(self, text: str, argument: Any) -> None:
        if text == "the flag was evaluated with details":
            self.askings.append({})
        elif found := re.fullmatch(r'the resolved details value should be "(.*)"', text):
            self.wanted["value"] = PARSE[self.flag[0]](found[1])
        elif found := re.fullmatch(r'the (reason|variant|error-code) should be "(.*)"', text):
            self.wanted[found[1]] = found[2]
        elif text == "the resolved metadata is empty":
            self.wanted["metadata"] = {}
        elif text == "the resolved metadata should contain":
            rows = [[cell["value"] for cell in row["cells"]] for row in argument["dataTable"]["rows"]][1:]
            self.wanted["metadata"] = {name: PARSE[form](value) for name, form, value in rows}
        else:
            self._given(text)

    def _given(self, text: str) -> None:
        if found := re.fullmatch(r'an option "(.*)" of type ".*" with value "(.*)"', text):
            self.options[found[1]] = found[2]
        elif found := re.fullmatch(r'a context containing a key "(.*)", with type "(.*)" and with value "(.*)"', text):
            self.context[found[1]] = PARSE[found[2]](found[3])
        elif found := re.fullmatch(r'a context containing a targeting key with value "(.*)"', text):
            self.targeting_key = found[1]
        elif found := re.fullmatch(r'a (\w+)-flag with key "(.*)" and a default value "(.*)"', text):
            self.flag = (found[1], found[2], PARSE[found[1]](found[3]))
        elif not re.fullmatch(r"an? \w+ flagd provider", text):
            pytest.fail(f"no step for {text!r}")


def every_case(folder: Path) -> Iterator[Case]:
    from gherkin.parser import Parser
    from gherkin.pickles.compiler import Compiler

    for name in FEATURES:
        document = Parser().parse((folder / f"{name}.feature").read_text())
        document["uri"] = name
        for pickle in Compiler().compile(document):
            if OF_A_LOST_CONNECTION.search(str(pickle["steps"])):
                continue
            case = Case(f"{name}: {pickle['name']}", {tag["name"] for tag in pickle["tags"]})
            for step in pickle["steps"]:
                case.step(step["text"], step.get("argument"))
            yield case


def of_mode(case: Case, mode: str, bucketing: str) -> bool:
    others = {"@fractional-v1", "@fractional-v2", "@fractional-v3"} - {f"@fractional-{bucketing}"}
    if case.tags & {"@deprecated", *others}:
        return False
    return f"@{mode}" in case.tags or (mode == "ofrep" and "@rpc" in case.tags and "@caching" not in case.tags)


@pytest.fixture(scope="session")
def testbed_folder() -> Path:
    folder = folder_of_testbed()
    if not folder.is_dir():
        pytest.skip(f"flagd-testbed is not at {folder} (HITLESS_FLAGD_TESTBED): its features were not tested")
    pytest.importorskip("gherkin", reason="gherkin-official is not installed: the features were not tested")
    return folder


@pytest.fixture(scope="session")
def testbed_cases(testbed_folder: Path) -> Callable[..., list[Case]]:
    """The cases of a mode (in-process, rpc, ofrep), for clients of one generation of buckets."""
    cases = list(every_case(testbed_folder))

    def chosen(mode: str, bucketing: str = "v3") -> list[Case]:
        return [case for case in cases if of_mode(case, mode, bucketing)]

    return chosen


@pytest.fixture(scope="session")
def testbed(testbed_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of all flags of the testbed, each selector's file a set of its own."""
    folder = tmp_path_factory.mktemp("testbed")
    merged: dict[str, Any] = {"flags": {}, "$evaluators": {}}
    for path in sorted((testbed_folder / "flags").glob("*.json")):
        if not path.name.startswith("selector-"):
            document = json.loads(path.read_text())
            merged["flags"] |= document["flags"]
            merged["$evaluators"] |= document.get("$evaluators", {})
    (folder / "all.json").write_text(json.dumps(merged))
    named = {f"rawflags/{path.name}": path for path in sorted((testbed_folder / "flags").glob("selector-*.json"))}
    made = Server({**named, "flags/allFlags.json": folder / "all.json"}, "--context", "injectedmetadata=set")
    made.start()
    yield made
    made.kill()
