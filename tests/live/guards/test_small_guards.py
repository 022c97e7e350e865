"""Guards that a change file asks for, each in a case in which it must fire beside one in which it must not.

All changes are under way at once, each of a service of its own, so that the whole takes about a minute.
"""

import random
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from hitless.app.demo.shop import give_ports
from hitless.cli.client import Client
from hitless.traffic.cohort import bucket

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]
HITLESS = Path(sys.executable).parent / "hitless"
SHARE = 3000  # buckets of the new version
PAUSE_S = 0.03  # between two requests to one service
REQUESTS_LIMIT = 10_000
PATIENCE_S = 300.0  # of a test, with a machine that has other things to do
PROGRAM = '''
"""Answers every request; one with X-Fail with 500. Version 1.2 of what is to crash bears 12 requests of users."""

import itertools
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CRASHES = "crash" in sys.argv and os.getcwd().endswith("1.2")
USERS = itertools.count(1)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(500 if "X-Fail" in self.headers else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()
        if CRASHES and "X-User-Id" in self.headers and next(USERS) == 12:
            os._exit(1)

    def log_message(self, *said):
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
'''
OTLP = "source: opentelemetry, by: service.version, every: 1s, lag: 1s"
SHORT = "bake: 12s"  # of what is well
LONG = "bake: 30m"  # of what is to be taken back: by its guard alone, however busy the machine is
BLIND = "bake: 30m, no_evidence: 20s"
CASES = {  # service: (guards, the new version, how long it is watched, steps)
    "dying": (  # what its ends do to its users must not be what takes it back
        "crashes: { limit: 2 }, errors: { worse: 1000x }, latency: { worse: 1000x }",
        "1.2",
        LONG,
        "[30%, 100%]",
    ),
    "full": (f"saturation: {{ {OTLP}, load: full, limit: 90%, long: 4s }}", "1.2", LONG, "[30%, 100%]"),
    "roomy": (f"saturation: {{ {OTLP}, load: roomy, limit: 90%, long: 4s }}", "1.1", SHORT, "[30%, 100%]"),
    "alone": (f"saturation: {{ {OTLP}, load: alone, limit: 90%, long: 4s }}", "1.2", LONG, "[100%]"),
    "living": ("crashes: { limit: 2 }", "1.1", SHORT, "[30%, 100%]"),
    "skewed": ("sample_ratio: true", "1.1", BLIND, "[30%, 100%]"),
    "split": ("sample_ratio: true", "1.1", SHORT, "[30%, 100%]"),
    "clustered": ("placebo: true", "1.1", SHORT, "[30%, 100%]"),
    "scattered": ("placebo: true", "1.1", SHORT, "[30%, 100%]"),
    "guilty": ("placebo: true", "1.1", LONG, "[30%, 100%]"),  # its users fail at "victim"
    "innocent": ("placebo: true", "1.1", SHORT, "[30%, 100%]"),  # all of them visit it as well
    "unmeasured": (
        "metrics: { m: { url: 'http://127.0.0.1:1', requests: a, bad: b, lag: 1s, every: 1s } }",
        "1.1",
        BLIND,
        "[30%, 100%]",
    ),
}
SERVICES = [*CASES, "victim"]
SALTED = ("skewed", "clustered", "guilty")  # what its users do follows from whose they are
FULL = {"full": 0.97, "roomy": 0.5, "alone": 0.97}


class Small:
    """A system of tiny services."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "hitless.yaml"
        for version in ("1.0", "1.1", "1.2"):
            (folder / "releases" / version).mkdir(parents=True)
            (folder / "releases" / version / "tiny.py").write_text(PROGRAM)
        system: dict[str, Any] = {
            "system": "small",
            "gateway": {"listen": "127.0.0.1:1", "internal": "127.0.0.1:2", "user": "header:X-User-Id"},
            "services": {name: self._service(name) for name in SERVICES},
        }
        give_ports(system)
        self.url, self.control = f"http://{system['gateway']['listen']}", f"http://{system['control']['listen']}"
        self.file.write_text(yaml.safe_dump(system, sort_keys=False))
        self.salts: dict[str, str] = {}
        self.runs: dict[str, str] = {}
        self.controller = Client(folder / ".hitless")

    def _service(self, name: str) -> dict[str, Any]:
        mode = "crash" if name == "dying" else "well"
        return {
            "route": f"/{name}",
            "run": ["python3", "tiny.py", "{port}", mode],
            "cwd": "releases/{version}",
            "version": "1.0",
            "instances": 1,
            "ready": "/ready",
            "ready_timeout": "240s",
            "drain": "1s",
        }

    def hitless(self, *words: str) -> str:
        said = subprocess.run(
            [HITLESS, "-f", self.file, *words], check=False, capture_output=True, text=True, timeout=300
        )
        assert said.returncode in {0, 5}, said.stdout + said.stderr
        return said.stdout

    def begin(self, name: str) -> None:
        """Apply the change of a service; its salt decides who is whose."""
        guards, version, patience, steps = CASES[name]
        source = (
            f"change: {name}\nguards: {{ {guards} }}\n"
            f"services: {{ {name}: {{ to: '{version}', steps: {steps}, {patience} }} }}\n"
        )
        change = {"source": source, "file": f"{name}.yaml", "key": name}
        if name in SALTED:
            plan = self.controller.post("/v1/plan", change, within_s=PATIENCE_S)
            self.salts[name] = next(step["step"]["after"]["salt"] for step in plan["steps"] if "after" in step["step"])
        self.runs[name] = self.controller.post("/v1/apply", change, within_s=PATIENCE_S)["run"]

    def ended(self, name: str) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            shown: dict[str, Any] = self.controller.patiently(f"/v1/runs/{self.runs[name]}", patience_s=PATIENCE_S)
            if shown["state"] in {"completed", "rolled-back"}:
                return shown
            assert time.monotonic() < deadline, shown
            time.sleep(0.5)


def visit(small: Small, name: str, over: threading.Event) -> None:
    """Users of one service, new ones all the time, drawn and failing as its case says."""
    chance = random.Random(name)
    for _ in range(REQUESTS_LIMIT):
        if over.is_set():
            return
        user, salt = f"user-{chance.randrange(100_000)}", small.salts.get(name)
        place = SHARE if salt is None else bucket(user, salt)
        if name == "skewed" and place >= SHARE and chance.random() < 0.8:
            continue
        fails = name == "clustered" and SHARE <= place < SHARE + 600 and salt is not None
        fails = fails or (name == "scattered" and chance.random() < 0.04)
        ask(small, name, user, fails=fails)
        if name == "guilty":
            ask(small, "innocent", user)
            ask(small, "victim", user, fails=place < SHARE and chance.random() < 0.3)
        time.sleep(PAUSE_S)


def ask(small: Small, name: str, user: str, *, fails: bool = False) -> None:
    headers = {"X-User-Id": user} | ({"X-Fail": "1"} if fails else {})
    with suppress(OSError):
        urllib.request.urlopen(urllib.request.Request(f"{small.url}/{name}", headers=headers), timeout=10).close()


def export(small: Small) -> list[MeterProvider]:
    """Say by real exporters how full the versions are."""
    token = (small.file.parent / ".hitless" / "run" / "token").read_text().strip()
    providers = []
    for version in ("1.0", "1.1", "1.2"):
        exporter = OTLPMetricExporter(
            endpoint=f"{small.control}/v1/metrics", headers={"authorization": f"Bearer {token}"}
        )
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=500)
        providers.append(MeterProvider([reader], Resource.create({"service.version": version}), shutdown_on_exit=False))
        for name, load in FULL.items():
            providers[-1].get_meter("small").create_gauge(name).set(0.3 if version == "1.0" else load)
    return providers


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    small, over = Small(tmp_path_factory.mktemp("small")), threading.Event()
    small.hitless("up")
    visitors = [threading.Thread(target=visit, args=(small, name, over)) for name in CASES if name != "innocent"]
    for each in visitors:
        each.start()
    providers = export(small)
    try:
        for name in CASES:
            small.begin(name)
        yield small
    finally:
        for provider in providers:
            provider.shutdown()
        over.set()
        for each in visitors:
            each.join(30)
        small.hitless("down", "--hold")


@pytest.mark.parametrize("name", ["roomy", "living", "split", "scattered", "innocent"])
def test_where_all_is_well_no_guard_takes_a_version_back(small: Small, name: str) -> None:
    shown = small.ended(name)
    assert shown["state"] == "completed", shown["verdicts"]
    assert not any(verdict.get("doubts") for verdict in shown["verdicts"])


@pytest.mark.parametrize(
    ("name", "guard", "reason"),
    [
        ("full", "saturation", "the canary alone has been at 0.9 of its capacity"),
        ("alone", "saturation", "the canary alone has been at 0.9 of its capacity"),
        ("dying", "crash", "ended"),
    ],
)
def test_a_version_that_is_full_or_ends_too_often_is_taken_back(
    small: Small, name: str, guard: str, reason: str
) -> None:
    shown = small.ended(name)
    verdict = shown["verdicts"][-1]
    assert (shown["state"], verdict["verdict"], verdict["guard"]) == ("rolled-back", "worse", guard)
    assert reason in verdict["reason"]


def test_of_two_changes_under_way_the_one_whose_users_fail_elsewhere_is_taken_back_and_says_where(small: Small) -> None:
    shown = small.ended("guilty")
    verdict = shown["verdicts"][-1]
    assert (shown["state"], verdict["verdict"], verdict["guard"]) == ("rolled-back", "worse", "errors at victim")
    assert "users of guilty 1.1 fail at victim" in verdict["reason"]


def test_arms_that_do_not_get_the_users_meant_for_them_take_a_version_back_for_want_of_evidence(small: Small) -> None:
    shown = small.ended("skewed")
    verdict = shown["verdicts"][-1]
    assert (shown["state"], verdict["verdict"]) == ("rolled-back", "no evidence")
    assert "its share is 0.3" in verdict["reason"]


def test_a_version_whose_counters_nobody_measures_is_taken_back_and_the_text_says_what_the_source_said(
    small: Small,
) -> None:
    shown = small.ended("unmeasured")
    verdict = shown["verdicts"][-1]
    assert (shown["state"], verdict["verdict"]) == ("rolled-back", "no evidence")
    assert "a window of m that counts" in verdict["reason"]
    assert verdict["source"] == "m: Prometheus does not answer: Connection refused"
    said = small.hitless("show", small.runs["unmeasured"])
    assert "trouble: m: Prometheus does not answer: Connection refused" in said


def test_errors_that_come_in_one_group_of_the_old_version_are_told_and_take_nothing_back(small: Small) -> None:
    shown = small.ended("clustered")
    assert shown["state"] == "completed"
    assert any(verdict.get("doubts") for verdict in shown["verdicts"])
