"""Flags of a running system: imported, edited, staged by a change, and answered whoever is dead."""

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
import yaml

from hitless.app.paths import load_system

pytestmark = pytest.mark.live

FLAG = {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off"}
BULK = "/ofrep/v1/evaluate/flags"


class Flags:
    """OFREP on the control listener, as any client uses it."""

    def __init__(self, shop: Any) -> None:
        self.shop = shop
        host, port = load_system(shop.file).control.listen.split(":")
        self.host, self.port = host, int(port)

    def ask(self, flag: str, user: str = "u", method: str = "POST") -> tuple[int, dict[str, Any]]:
        with closing(http.client.HTTPConnection(self.host, self.port, timeout=60)) as connection:
            body = json.dumps({"context": {"targetingKey": user}})
            connection.request(method, f"{BULK}/{flag}" if flag else BULK, body, {"content-type": "application/json"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    def value(self, flag: str, user: str = "u") -> Any:
        return self.ask(flag, user)[1].get("value")

    def checkout(self, user: str) -> str | None:
        """Which checkout the shop's page shows to a user: web asks for the flag by the stock SDK."""
        host, port = load_system(self.shop.file).gateway.listen.split(":")
        with closing(http.client.HTTPConnection(host, int(port), timeout=60)) as connection:
            connection.request("GET", "/", headers={"X-User-Id": user})
            return connection.getresponse().headers["x-checkout"]

    @contextmanager
    def stream(self) -> Iterator[http.client.HTTPResponse]:
        """A client that is told of changes, as a browser is."""
        address = self.ask("")[1]["eventStreams"][0]["url"]
        with closing(http.client.HTTPConnection(self.host, self.port, timeout=60)) as connection:
            connection.request("GET", address[address.index("/ofrep") :])
            answer = connection.getresponse()
            assert answer.readline().startswith(b":")
            yield answer

    def write(self, name: str, content: Any) -> str:
        path = self.shop.file.parent / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)


@pytest.fixture
def flags(shop: Any) -> Flags:
    shop.run("flags", "import", Flags(shop).write("empty.json", {"flags": {}}))
    return Flags(shop)


def test_an_import_is_served_when_it_returns_and_a_broken_one_changes_nothing(shop, flags):
    text = '{ "flags": {"f": ' + json.dumps(FLAG | {"defaultVariant": "on"}) + ', "odd": '
    text += json.dumps(FLAG | {"targeting": {"no_such": [1]}}) + "}}\n"
    done = shop.run("flags", "import", flags.write("set.json", text))
    assert flags.value("f") is True
    assert "odd" in done.err
    status, odd = flags.ask("odd")
    assert (status, odd["errorCode"]) == (400, "PARSE_ERROR")
    assert shop.run("flags", "export").out == text
    for broken in ('{"flags": ', '{"flags": {"f": 1, "f": 2}}', "[]"):
        shop.run("flags", "import", flags.write("broken.json", broken), expect=2)
    assert shop.run("flags", "export").out == text
    assert flags.value("f") is True


def test_a_flag_is_staged_killed_revived_and_its_history_says_who_and_why(shop, flags):
    shop.run("flags", "stage", "f", "50%", "--group", "staff", "--why", "half of them")
    assert flags.value("f", "ann") is True
    inside = {user for user in map(str, range(40)) if flags.value("f", user)}
    assert 5 < len(inside) < 35
    shop.run("flags", "set", "f", "--kill", "--why", "it hurts")
    assert flags.ask("f", "ann")[1]["reason"] == "DISABLED"
    shop.run("flags", "set", "f", "--revive", "--owner", "ann", "--expires", "2020-01-31")
    assert {user for user in map(str, range(40)) if flags.value("f", user)} == inside
    history = shop.json("flags", "history", "f")
    assert [each["why"] for each in history[1:3]] == ["it hurts", "half of them"]
    assert all("@" in each["who"] for each in history)
    assert '-  "state": "ENABLED"' in history[1]["diff"]
    assert shop.json("flags", "stale") == [{"flag": "f", "owner": "ann", "why": "expired on 2020-01-31"}]
    assert shop.json("flags", "list")["flags"][0]["serves"] == "'on' for group and 50% of users"
    assert "expires" in shop.run("flags", "show", "f").out
    pytest.importorskip("openfeature.contrib.tools.flagd.core", reason="the reference evaluator is not installed")
    ours, reference = (
        shop.json("flags", "evaluate", "f", "--user", "7", "--evaluator", name) for name in ("ours", "reference")
    )
    assert ours == reference


WRONG = {
    ("set", "gone", "--kill"): "unknown-flag",
    ("stage", "f", "crew"): "unknown-group",
    ("stage", "f", "500%"): "unknown-stage",
    ("set", "f", "--definition", "no-such-file"): "no-file",
    ("set", "f"): "flag-edit",
    ("list", "--set", "gone"): "unknown-set",
    ("stage", "f", "5%", "--at", "tomorrow"): "no-time",
    ("nonsense",): "usage",
}


def test_what_makes_no_sense_exits_2_and_changes_nothing(shop, flags):
    before = shop.run("flags", "export").out
    assert {words: shop.json("flags", *words, expect=2)["code"] for words in WRONG} == WRONG
    assert shop.run("flags", "export").out == before


def test_a_scheduled_edit_happens_at_its_time(shop, flags):
    for ahead_s in (2, 15, 60):  # on a busy machine that moment may be over before anybody hears of it
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + ahead_s))
        told = shop.run("flags", "stage", "f", "everyone", "--at", at, "--why", "launch", expect=None)
        if told.code == 0:
            break
        assert told.err.startswith("no-time: "), told
    assert told.code == 0, told
    shop.until(lambda: flags.value("f") is True)
    assert shop.json("flags", "show", "f")["scheduled"][0]["state"] == "done"


def test_flags_are_answered_while_the_controller_is_dead_and_come_back_after_their_server_died(shop, flags, unharmed):
    shop.run("flags", "stage", "f", "everyone")
    old = shop.kill("controller")
    failed = 0
    while shop.pid("controller") == old:
        failed += flags.value("f") is not True
    assert failed == 0
    old = shop.kill("flags")
    shop.until_back("flags", old)
    shop.until(lambda: flags.value("f") is True)
    assert shop.json("flags", "list")["flags"][0]["flag"] == "f"


def test_a_change_raises_a_flag_stage_by_stage_once_clients_have_it_and_back_it_is_gone(shop, flags, unharmed):
    change = shop.file.parent / "raise.yaml"
    stages = {"stages": ["staff", "50%", "everyone"], "bake": "200ms", "evidence": "none"}
    change.write_text(yaml.safe_dump({"change": "raise", "flags": {"new-checkout": stages}}))
    plan = shop.json("plan", str(change))
    assert [step["describe"] for step in plan["steps"] if step["inverse"]] == [
        "flag new-checkout: not defined -> staff",
        "flag new-checkout: staff -> 50%",
        "flag new-checkout: 50% -> everyone",
    ]
    shop.until(lambda: len(shop.ask("/v1/flag-clients")["clients"]) >= 2)  # both instances of web
    with flags.stream() as told:
        run = shop.run("--json", "apply", str(change)).lines[0]["run"]
        assert flags.value("new-checkout") is True
        assert flags.checkout("anybody") == "new"
        assert told.readline()
        assert all(client["has_it"] for client in shop.json("flags", "clients")["clients"])
    shop.run("rollback", run)
    assert flags.ask("new-checkout")[0] == 404
    assert flags.checkout("anybody") == "old"


def test_a_flag_that_was_killed_while_it_was_raised_stays_killed(shop, flags):
    change = shop.file.parent / "killed.yaml"
    stages = {"stages": ["50%", "everyone"], "bake": "5s", "evidence": "none"}
    change.write_text(yaml.safe_dump({"change": "killed", "flags": {"risky": stages}}))
    with shop.start("apply", str(change)) as applying:
        shop.until(lambda: flags.ask("risky")[0] == 200)
        run = shop.ask("/v1/runs")[0]["run"]
        shop.tell(f"/v1/runs/{run}/hold")  # so that it is killed before the next stage
        shop.run("flags", "set", "risky", "--kill")
        shop.run("resume", run)
        said = applying.communicate(timeout=240)[1]
    assert applying.returncode == 5
    assert "flag-edited" in said
    assert flags.ask("risky")[1]["reason"] == "DISABLED"


def test_a_share_is_refused_while_a_client_in_process_splits_in_another_way(shop, flags):
    pytest.importorskip("openfeature.contrib.provider.flagd", reason="openfeature-provider-flagd is not installed")
    port = load_system(shop.file).control.grpc.rpartition(":")[2]
    client = subprocess.Popen([sys.executable, "-c", IN_PROCESS, port], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert client.stdout.readline() == b"ready\n"
        shop.run("flags", "stage", "f", "5%", "--wait", "20s")
        shop.run("flags", "import", flags.write("v2.json", {"flags": {}}), "--bucketing", "v2")
        refused = shop.json("flags", "stage", "f", "5%", expect=3)
        assert refused["code"] == "flag-bucketing"
        assert "grpc-python" in refused["text"]
        shop.run("flags", "stage", "f", "everyone")
    finally:
        client.communicate(b"\n", timeout=120)
        shop.run("flags", "import", flags.write("v3.json", {"flags": {}}), "--bucketing", "v3")


IN_PROCESS = """
import sys
from openfeature import api
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
port = int(sys.argv[1])
api.set_provider_and_wait(FlagdProvider(host="127.0.0.1", port=port, resolver_type=ResolverType.IN_PROCESS))
print("ready", flush=True)
sys.stdin.readline()
api.shutdown()
"""


def test_the_api_describes_itself(shop):
    document = shop.ask("/v1/openapi.json")
    assert document["openapi"].startswith("3.")
    for path in ("/v1/flag-sets/{set}/flags/{flag}", "/v1/flag-clients", "/v1/apply"):
        assert all(operation["summary"] for operation in document["paths"][path].values())
