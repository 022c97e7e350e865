"""flagd-testbed's features through the official Node and web providers, against our server.

`make node` installs the providers. Without them, without node, or without the features nothing is run, and it is said.
"""

import json
import os
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.live

HERE = Path(__file__).parent
PROVIDERS = Path(os.environ.get("HITLESS_NODE_PROVIDERS", HERE / "node"))
if shutil.which("node") is None:
    pytest.skip("node is not installed: the Node and web providers were not tested", allow_module_level=True)
if not (PROVIDERS / "node_modules" / "@openfeature").is_dir():
    pytest.skip("the providers for Node are not installed (make node): not tested", allow_module_level=True)

MODES = ("in-process", "rpc", "ofrep", "web")


def run(asked: dict[str, Any]) -> Any:
    done = subprocess.run(
        ["node", str(_script())], input=json.dumps(asked), capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def _script() -> Path:
    """Node looks for packages beside the script."""
    script = PROVIDERS / "run.mjs"
    if PROVIDERS != HERE / "node":
        shutil.copy(HERE / "node" / "run.mjs", script)
    return script


def holds(mode: str, case: Any, answer: dict[str, Any]) -> str:
    """Return what differs; empty if nothing does."""
    for name, wanted in case.wanted.items():
        found = answer[{"error-code": "errorCode"}.get(name, name)]
        if name == "metadata":
            found = {key: value for key, value in found.items() if key in wanted} if wanted else found
        if mode == "ofrep" and name == "reason" and found == "ERROR" and wanted in ("DEFAULT", "DISABLED"):
            continue  # this provider is older than OFREP's code default: the value is right, the reason is its own
        if found != wanted:
            return f"{name} is {found!r}, not {wanted!r}"
    return ""


@pytest.mark.parametrize("mode", MODES)
def test_the_features_of_flagd_testbed_hold_in_node(
    mode: str, testbed: Any, testbed_cases: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    of_mode = testbed_cases("ofrep" if mode == "web" else mode, "v2" if mode == "in-process" else "v3")
    cases = [case for case in of_mode if len(case.askings) == 1]  # several are about the Python client's cache
    asked = [
        {
            "id": number,
            "options": {name: value for name, value in case.options.items() if name == "selector"},
            "type": case.flag[0],
            "key": case.flag[1],
            "default": case.flag[2],
            "context": case.context,
            "targetingKey": case.targeting_key,
        }
        for number, case in enumerate(cases)
    ]
    answers = run({"mode": mode, "http": testbed.http, "grpc": testbed.grpc, "cases": asked})
    differ = [
        f"{case.name}: {case.flag[1]}: {text}"
        for case, answer in zip(cases, answers, strict=True)
        if (text := holds(mode, case, answer))
    ]
    with capsys.disabled():
        print(f"\nflagd-testbed, node {mode}: {len(cases) - len(differ)} passed, {len(differ)} failed")
    assert not differ, "\n".join(differ)
    assert len(cases) > 20


def test_after_a_kill_every_provider_holds_the_new_value(server: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """With default settings but for the time to connect at first; each provider runs in a process of its own, all through the same kill."""
    watched = {"options": {}, "type": "Boolean", "key": "f", "default": False, "context": {}, "targetingKey": "u"}
    asked = {"http": server.http, "grpc": server.grpc, "cases": [], "watch": watched}
    running: dict[str, subprocess.Popen[str]] = {}
    try:
        for mode in MODES:
            running[mode] = _started({**asked, "mode": mode})
            assert _line(running[mode]) == "ready false"
        server.kill()
        on = {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "on"}
        server.sets["default"].write_text(json.dumps({"flags": {"f": on}}))
        server.start()
        began = time.monotonic()
        with ThreadPoolExecutor(len(running)) as pool:
            answers = pool.map(lambda process: (_line(process), time.monotonic()), running.values())
            said = dict(zip(running, answers, strict=True))
    finally:
        for process in running.values():
            process.kill()
            process.wait(10)
            if process.stdout is not None:
                process.stdout.close()
    with capsys.disabled():
        print(
            "\nafter kill -9 and a restart: "
            + ", ".join(f"node {mode} {at - began:.1f} s" for mode, (_, at) in said.items())
        )
    assert {mode: line for mode, (line, _) in said.items()} == dict.fromkeys(MODES, "changed true")


def _started(asked: dict[str, Any]) -> "subprocess.Popen[str]":
    process = subprocess.Popen(["node", str(_script())], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    process.stdin.write(json.dumps(asked))
    process.stdin.close()
    return process


def _line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()
