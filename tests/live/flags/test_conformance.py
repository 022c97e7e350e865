"""flagd-testbed's features through the official Python provider: in-process, RPC and OFREP, against our server.

The features are read from `shared/data/flagd` beside the checkout, or from the folder in HITLESS_FLAGD_TESTBED;
without that folder, or without the providers, nothing is run.
"""

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.live, pytest.mark.filterwarnings("default")]


def folder_of_testbed() -> Path:
    named = os.environ.get("HITLESS_FLAGD_TESTBED")
    beside = [above / "shared" / "data" / "flagd" for above in Path(__file__).parents[4:6]]
    return Path(named) if named else next((folder for folder in beside if folder.is_dir()), beside[0])


TESTBED = folder_of_testbed()
if not TESTBED.is_dir():
    pytest.skip(f"flagd-testbed is not at {TESTBED}: conformance was not tested", allow_module_level=True)
pytest.importorskip("gherkin", reason="gherkin-official is not installed: conformance was not tested")
pytest.importorskip("openfeature.contrib.provider.flagd", reason="openfeature-provider-flagd is not installed")
pytest.importorskip("openfeature.contrib.provider.ofrep", reason="openfeature-provider-ofrep is not installed")

FEATURES = ("evaluation", "disabled", "metadata", "selector", "contextEnrichment", "sync-payload", "rpc-caching")
OF_A_LOST_CONNECTION = re.compile(r"connection is lost|was fired|was modified")
MODES = ("in-process", "rpc", "ofrep")
PARSE: dict[str, Callable[[str], Any]] = {
    "Boolean": lambda text: text.lower() == "true",
    "String": str,
    "Integer": int,
    "Float": float,
    "Object": lambda text: json.loads(text.replace('\\"', '"') or "{}"),
}


def scenarios() -> Iterator[tuple[str, Any]]:
    from gherkin.parser import Parser
    from gherkin.pickles.compiler import Compiler

    for name in FEATURES:
        text = (TESTBED / f"{name}.feature").read_text()
        document = Parser().parse(text)
        document["uri"] = name
        for pickle in Compiler().compile(document):
            yield name, pickle


def applies(mode: str, pickle: Any) -> bool:
    tags = {tag["name"] for tag in pickle["tags"]}
    if tags & {"@deprecated", "@fractional-v1", "@fractional-v2"} or OF_A_LOST_CONNECTION.search(str(pickle["steps"])):
        return False
    return bool(tags & {f"@{mode}"}) or (mode == "ofrep" and "@rpc" in tags and "@caching" not in tags)


@pytest.fixture(scope="module")
def testbed(tmp_path_factory: pytest.TempPathFactory, new_testbed_server: Any) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("testbed")
    merged: dict[str, Any] = {"flags": {}, "$evaluators": {}}
    for path in sorted((TESTBED / "flags").glob("*.json")):
        if not path.name.startswith("selector-"):
            document = json.loads(path.read_text())
            merged["flags"] |= document["flags"]
            merged["$evaluators"] |= document.get("$evaluators", {})
    (folder / "all.json").write_text(json.dumps(merged))
    named = {f"rawflags/{path.name}": path for path in sorted((TESTBED / "flags").glob("selector-*.json"))}
    server = new_testbed_server(
        {**named, "flags/allFlags.json": folder / "all.json"}, "--context", "injectedmetadata=set"
    )
    server.start()
    yield server
    server.kill()


def provider(mode: str, server: Any, options: dict[str, str]) -> Any:
    from openfeature.contrib.provider.flagd import FlagdProvider
    from openfeature.contrib.provider.flagd.config import CacheType, ResolverType
    from openfeature.contrib.provider.ofrep import OFREPProvider

    selector = options.get("selector")
    if mode == "ofrep":
        headers = {"flagd-selector": selector} if selector else {}
        return OFREPProvider(f"http://127.0.0.1:{server.http}", headers_factory=lambda: headers)
    kind = ResolverType.RPC if mode == "rpc" else ResolverType.IN_PROCESS
    cache = CacheType.LRU if options.get("cache") in ("lru", "enabled") else CacheType.DISABLED
    return FlagdProvider(
        host="127.0.0.1", port=server.grpc, resolver_type=kind, selector=selector, cache=cache, deadline_ms=4000
    )


class Scenario:
    """One run of the steps of a scenario."""

    def __init__(self, mode: str, server: Any) -> None:
        self.mode, self.server = mode, server
        self.options: dict[str, str] = {}
        self.context: dict[str, Any] = {}
        self.targeting_key: str | None = None
        self.flag: tuple[str, str, Any] = ("", "", None)
        self.details: Any = None

    def run(self, pickle: Any) -> None:
        for step in pickle["steps"]:
            self.step(step["text"], step.get("argument"))

    def evaluate(self) -> None:
        from openfeature import api
        from openfeature.evaluation_context import EvaluationContext

        kind, key, default = self.flag
        domain = f"{self.mode}-{self.options}"
        if domain not in CLIENTS:
            api.set_provider_and_wait(provider(self.mode, self.server, self.options), domain)
            CLIENTS.add(domain)
        resolve = getattr(api.get_client(domain), f"get_{kind.lower()}_details")
        self.details = resolve(key, default, EvaluationContext(self.targeting_key, self.context))

    def step(self, text: str, argument: Any) -> None:
        kind = self.flag[0]
        if found := re.fullmatch(r'the resolved details value should be "(.*)"', text):
            assert self.details.value == PARSE[kind](found[1]), self.details
        elif found := re.fullmatch(r'the (reason|variant|error-code) should be "(.*)"', text):
            seen = getattr(self.details, found[1].replace("-", "_"))
            assert str(getattr(seen, "value", seen) or "") == found[2], self.details
        elif text == "the resolved metadata is empty":
            assert not self.details.flag_metadata
        elif text == "the resolved metadata should contain":
            rows = [[cell["value"] for cell in row["cells"]] for row in argument["dataTable"]["rows"]][1:]
            assert {name: PARSE[form](value) for name, form, value in rows} == dict(self.details.flag_metadata)
        elif text == "the flag was evaluated with details":
            self.evaluate()
        else:
            self.given(text)

    def given(self, text: str) -> None:
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


CLIENTS: set[str] = set()


@pytest.mark.parametrize("mode", MODES)
def test_the_features_of_flagd_testbed_hold(mode: str, testbed: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from openfeature import api

    passed, failed = 0, []
    left_out = 0
    for feature, pickle in scenarios():
        if not applies(mode, pickle):
            left_out += 1
            continue
        try:
            Scenario(mode, testbed).run(pickle)
            passed += 1
        except AssertionError as error:
            failed.append(f"{feature}: {pickle['name']}: {str(error).splitlines()[0]}")
    api.shutdown()
    CLIENTS.clear()
    with capsys.disabled():
        print(f"\nflagd-testbed, {mode}: {passed} passed, {len(failed)} failed, {left_out} not of this mode")
    assert not failed, "\n".join(failed)
    assert passed > 20
