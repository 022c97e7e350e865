"""Bad input gets a clear error with its exit code, and changes nothing."""

import fcntl
import json
import socket
from pathlib import Path

import pytest
import yaml

from hitless.app.demo.shop import copy_shop
from hitless.cli.main import run

pytestmark = pytest.mark.live


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A shop that has never run; a good version has its time to become ready on a busy machine."""
    file = copy_shop(tmp_path / "shop")
    file.write_text(file.read_text().replace("ready_timeout: 10s", "ready_timeout: 120s"))
    return file.parent


@pytest.fixture
def hitless(folder, capsys):
    """Run a command on that shop; returns exit code and answer."""

    def command(*words: str):
        code = run(["--json", "-f", str(folder / "hitless.yaml"), *words], as_json=True)
        out = capsys.readouterr().out
        return code, json.loads(out.splitlines()[-1]) if out.strip() else None

    return command


def edit(folder: Path, path: str, value: object) -> None:
    file = folder / "hitless.yaml"
    plain = yaml.safe_load(file.read_text())
    *way, last = path.split("/")
    section = plain
    for key in way:
        section = section[key]
    section[last] = value
    file.write_text(yaml.safe_dump(plain, sort_keys=False))


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("services/web/instnces", 2, "instances"),
        ("services/web/instances", "two", "instances"),
        ("services/web/instances", -1, "instances"),
        ("services/web/drain", "soon", "drain"),
        ("services/orders/route", "/accounts", "route"),
        ("services/accounts/calls", ["web"], "circle"),
        ("services/accounts/calls", ["wbe"], "no service"),
        ("services/orders/database", "mian", "no database"),
        ("services/or ders", {"run": ["true"], "version": "1"}, "or ders"),
        ("services/orders\nserver evil", {"run": ["true"], "version": "1"}, "evil"),
        ("services/orders/route", "/a b", "route"),
        ("services/orders/version", "1.0\nbackend evil", "version"),
        ("gateway/listen", "127.0.0.1:99999", "listen"),
        ("gateway/user", "header:X-User\nacl evil", "user"),
        ("system", "a b", "system"),
    ],
)
def test_a_system_file_that_makes_no_sense_is_refused_by_every_command_before_anything_happens(
    folder, hitless, path, value, says
):
    edit(folder, path, value)
    for verb in (["up"], ["status"], ["down"], ["plan", str(folder / "changes" / "canary-orders.yaml")]):
        code, answer = hitless(*verb)
        assert (code, answer["exit"]) == (2, 2), (verb, answer)
        assert says in answer["text"] + answer["hint"], answer
        assert "hitless.yaml" in answer["text"]
    assert not (folder / ".hitless").exists()


def test_a_file_that_is_no_yaml_is_named_with_its_line(folder, hitless):
    (folder / "hitless.yaml").write_text("system: shop\nservices: [\n")
    code, answer = hitless("up")
    assert code == 2
    assert "hitless.yaml:" in answer["text"]


@pytest.mark.parametrize(
    ("change", "code", "exit_code"),
    [
        ({"services": {"orders": {"to": "1.1", "steps": ["25%", "5%", "100%"]}}}, None, 2),
        ({"services": {"orders": {"to": "1.1", "steps": ["5%", "101%"]}}}, None, 2),
        ({"services": {"orders": {"to": "1.1", "steps": ["5%", "50%"]}}}, None, 2),
        ({"services": {"orders": {"to": 1.1}}}, None, 2),
        ({"services": {"orders": {"too": "1.1"}}}, None, 2),
        ({"services": {"orders": {"to": "1.1\n"}}}, None, 2),
        ({"services": {}}, None, 2),
        ({"services": {"ordres": {"to": "1.1"}}}, "unknown-service", 3),
        ({"services": {"orders": {"to": "1.1", "steps": ["stuff", "100%"]}}}, "unknown-group", 3),
        ({"services": {"orders": {"to": "9.9"}}}, "release-missing", 3),
        ({"services": {"orders": {"run": ["no-such-program"]}}}, "program-missing", 3),
        ({"services": {"web": {"to": "2.0", "works_with": {"accounts": ">=9"}}}}, "unfit-pair", 3),
    ],
)
def test_a_change_that_cannot_be_done_is_refused_and_nothing_moves(shop, tmp_path, capsys, change, code, exit_code):
    before = (shop.ask("/v1/status"), shop.ask("/v1/runs"))
    file = tmp_path / "bad.yaml"
    file.write_text(yaml.safe_dump({"change": "bad"} | change))
    for verb in ("plan", "apply"):
        assert run(["--json", "-f", str(shop.file), verb, str(file)], as_json=True) == exit_code
        answer = json.loads(capsys.readouterr().out)
        found = [refusal["code"] for refusal in answer["refusals"]] if "refusals" in answer else [answer["code"]]
        assert code is None or code in found
        if exit_code == 2:
            assert "bad.yaml" in answer["text"]
    assert (shop.ask("/v1/status"), shop.ask("/v1/runs")) == before


EARLIER = ["0002_split_name", "0003_order_items"]


def adding(column: str) -> str:
    return f"operations: [{{add_column: {{table: accounts, column: {column}}}}}]\n"


FINE = adding("{name: x, type: int, nullable: true}")


@pytest.mark.parametrize(
    ("name", "text", "alone", "expected"),
    [
        ("0002_mine", FINE, True, (2, "migration-number")),
        ("0000_late", FINE, True, (3, "migration-late")),
        ("0009_skips", FINE, True, (3, "migration-skipped")),
        ("0009_yaml", "operations: [\n", False, (2, "broken-yaml")),
        ("0009_word", adding("{nmae: x, type: int}"), False, (2, "missing-key")),
        ("0009_up", adding("{name: x, type: int}"), False, (3, "up-missing")),
        ("0009_column", "operations: [{drop_column: {table: accounts, column: nmae}}]\n", False, (3, "no-such-column")),
        ("0009_down", "operations: [{drop_column: {table: accounts, column: user_id}}]\n", False, (3, "down-missing")),
        ("0009_sql", "operations: [{sql: {up: 'SELCT 1', down: 'SELECT 1'}}]\n", False, (3, "statement-failed")),
    ],
    ids=lambda value: value if isinstance(value, str) and value.startswith("000") else "",
)
def test_a_migration_that_cannot_be_right_is_refused_and_nothing_moves(shop, capsys, name, text, alone, expected):
    before = (shop.ask("/v1/status"), shop.ask("/v1/runs"))
    migration, file = shop.file.parent / "migrations" / f"{name}.yaml", shop.file.parent / "bad.yaml"
    migration.write_text(text)
    wanted = [name] if alone else [*EARLIER, name]
    file.write_text(yaml.safe_dump({"change": "bad", "database": {"main": wanted}}))
    try:
        for verb in ("plan", "apply"):
            code = run(["--json", "-f", str(shop.file), verb, str(file)], as_json=True)
            answer = json.loads(capsys.readouterr().out)
            found = [refusal["code"] for refusal in answer.get("refusals", [answer])]
            assert (code, expected[1] in found) == (expected[0], True), answer
            assert code == 2 or all(refusal["hint"] for refusal in answer.get("refusals", [answer])), answer
    finally:
        migration.unlink()
    assert (shop.ask("/v1/status"), shop.ask("/v1/runs")) == before


@pytest.mark.parametrize(
    "content", ["{", '{"plan": {"source": "change: x"', '{"plan": {}}', '{"plan": {"source": 1, "hash": 2}}']
)
def test_a_half_written_plan_is_refused(shop, tmp_path, capsys, content):
    file = tmp_path / "plan.json"
    file.write_text(content)
    assert run(["--json", "-f", str(shop.file), "apply", str(file)], as_json=True) == 2
    assert json.loads(capsys.readouterr().out)["code"] == "broken-plan"


def test_a_port_that_somebody_holds_is_named_and_nothing_starts(folder, hitless):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        edit(folder, "gateway/listen", address)
        code, answer = hitless("up")
        assert (code, answer["code"]) == (2, "port-taken")
        assert address in answer["text"]
        code, findings = hitless("doctor")
        assert code == 1
        assert [each["code"] for each in findings if not each["ok"]] == ["port-taken"]
    assert not any((folder / ".hitless" / "processes").iterdir())


def test_the_state_folder_of_another_system_is_left_alone(shop, folder, hitless):
    edit(folder, "state", str(shop.state))
    edit(folder, "system", "bakery")
    before = shop.instances()
    code, answer = hitless("up")
    assert (code, answer["code"]) == (3, "other-system")
    assert "'shop'" in answer["text"]
    assert shop.instances() == before


def test_only_one_hitless_starts_or_stops_a_system_at_a_time(folder, hitless):
    (folder / ".hitless" / "run").mkdir(parents=True)
    (folder / ".hitless" / "run").chmod(0o700)
    with (folder / ".hitless" / "run" / "lifecycle.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        code, answer = hitless("up")
    assert (code, answer["code"]) == (3, "busy")
    assert not any((folder / ".hitless" / "processes").iterdir())


@pytest.mark.parametrize(
    ("path", "value", "code", "exit_code"),
    [
        ("services/web/run", ["no-such-program"], "program-missing", 2),
        ("services/web/version", "9.9", "release-missing", 2),
        ("services/orders/version", "1.4", "version-crashes", 1),
    ],
)
def test_a_first_up_that_cannot_succeed_says_why_and_leaves_nothing_running(
    shop, folder, hitless, path, value, code, exit_code
):
    edit(folder, path, value)
    found, answer = hitless("up")
    assert (found, answer["code"]) == (exit_code, code), answer
    assert shop.alive_below(folder) == []


@pytest.mark.parametrize(
    ("version", "code", "says"), [("1.4", "-crashes", "SHOP_PRICE_LIST"), ("1.5", "never-ready", "price_lists")]
)
def test_a_version_that_never_serves_is_taken_back_with_the_last_lines_of_its_log(shop, unharmed, version, code, says):
    before = shop.instances()
    done = shop.run(
        "apply", shop.change(orders={"to": version, "strategy": "canary", "steps": ["5%", "100%"]}), expect=5
    )
    assert code in done.err
    assert says in done.err
    assert shop.instances() == before
    shop.assert_whole()


def test_a_check_that_fails_takes_a_version_back_before_its_first_user(shop, unharmed):
    change = shop.change(
        web={"to": shop.other("web"), "strategy": "blue-green", "check": ["sh", "-c", "echo no; exit 3"]}
    )
    done = shop.run("apply", change, expect=5)
    assert "ended with 3" in done.err
    shop.assert_whole()


@pytest.mark.parametrize(
    "words", [["aply"], ["apply"], ["apply", "missing.yaml"], ["scale", "web", "many"], ["show", "r/1"]]
)
def test_a_command_that_makes_no_sense_is_a_usage_error(hitless, words):
    code, answer = hitless(*words)
    assert (code, answer["exit"]) == (2, 2), answer
