"""What a person can tell a run and a system, and what the commands answer to programs."""

import signal
import urllib.error
import urllib.request

import pytest

from hitless.app.paths import load_system

pytestmark = pytest.mark.live


@pytest.fixture
def slow_change(shop) -> str:
    """A change of web that stands at 30 % of the users for as long as a test takes."""
    return shop.change(web={"to": shop.other("web"), "strategy": "canary", "steps": ["30%", "100%"], "bake": "1h"})


def stands_at(shop, share: float) -> None:
    shop.until(lambda: share in shop.versions("web").values())


def test_a_run_is_left_held_resumed_and_taken_back_by_command(shop, unharmed, slow_change):
    timed_out = shop.run("apply", slow_change, "--timeout", "1s", expect=7)
    run = shop.ask("/v1/runs")[0]["run"]
    assert f"hitless watch {run}" in timed_out.err
    stands_at(shop, 0.3)

    with shop.start("watch") as watching:
        assert "start" in watching.stderr.readline()
        watching.send_signal(signal.SIGINT)
        assert watching.wait(120) == 130
        assert f"hitless watch {run}" in watching.stderr.read()
    assert shop.ask("/v1/status")["run"] == {"run": run, "change": f"change-{shop.changes}", "state": "running"}

    refused = shop.json("apply", shop.change(web={"restart": True}), expect=3)
    assert (refused["code"], refused["exit"]) == ("run-under-way", 3)

    shop.run("hold", "--why", "lunch")
    shop.until(lambda: shop.ask("/v1/status")["run"]["state"] == "held")
    shop.run("hold", run)
    shop.run("resume")
    assert shop.ask("/v1/status")["run"]["state"] == "running"

    with shop.start("watch", run) as follower:
        shop.run("abort", "--why", "enough")
        assert follower.wait(120) == 5  # for whoever follows, it was taken back; for who asked, it is done
        follower.communicate()
    assert set(shop.versions("web").values()) == {1.0}
    assert shop.json("abort", expect=3)["code"] == "no-run"
    shop.assert_whole()


def test_a_change_is_applied_from_its_saved_plan_and_taken_back_after_success(shop, unharmed):
    old, new, pids = shop.versions("accounts"), shop.other("accounts"), shop.instances()
    change = shop.change(accounts={"to": new, "strategy": "blue-green", "keep": "1h"})
    saved = shop.file.parent / "saved.json"
    plan = shop.json("plan", change, "-o", str(saved))
    assert set(plan) >= {"change", "hash", "steps", "refusals"}
    assert set(plan["steps"][0]) >= {"position", "room", "describe", "inverse", "point_of_no_return"}
    assert plan["refusals"] == []

    lines = shop.run("--json", "apply", str(saved)).lines
    run = lines[0]["run"]
    assert [line["position"] for line in lines[1:]] == sorted({line["position"] for line in lines[1:]})
    assert (lines[-1]["fact"], lines[-1]["body"]["state"]) == ("ended", "completed")
    assert shop.versions("accounts") == {new: 1.0}
    states = {each["state"] for each in shop.ask("/v1/status")["services"]["accounts"]["versions"][0]["instances"]}
    assert states <= {"kept", "serving"}

    stale = shop.json("apply", str(saved), expect=3)
    assert stale["code"] == "plan-stale"
    shop.run("rollback", run)
    assert shop.versions("accounts") == old
    assert shop.instances() == pids  # they were kept, so nothing had to be started
    shown = shop.json("show", run)
    assert (shown["state"], shown["requests"]["failed"]) == ("rolled-back", 0)
    assert shown["requests"]["total"] > 0
    assert shop.json("rollback", run, expect=3)["code"] == "wrong-state"
    shop.assert_whole()


def test_what_was_kept_goes_when_its_time_is_over(shop, unharmed):
    before = shop.instances()
    change = shop.change(web={"to": shop.other("web"), "strategy": "blue-green", "keep": "1s"})
    shop.run("apply", change)
    old = {name for name in before if name.startswith("web")}
    shop.until(lambda: not old & set(shop.instances()))
    shop.assert_whole()


def test_a_plan_is_tried_in_a_simulated_world_before_it_is_applied(shop, unharmed):
    change = shop.change(web={"to": shop.other("web"), "strategy": "canary", "steps": ["5%", "100%"], "bake": "10m"})
    found = shop.json("plan", change, "--simulate", "20")["simulated"]
    assert (found["runs"], found["broken"]) == (20, [])
    assert sum(found["ended"].values()) == 20
    assert "broken promises: none" in shop.run("plan", change, "--simulate", "3").out
    assert shop.run("plan", change, "--simulate", "0", expect=2)


def test_instances_come_and_go_by_scale_and_nothing_is_lost(shop, unharmed):
    first = shop.json("scale", "accounts", "3")["run"]
    assert len([name for name in shop.instances() if name.startswith("accounts")]) == 3
    shop.run("scale", "accounts", "1")
    assert len([name for name in shop.instances() if name.startswith("accounts")]) == 1
    refused = shop.json("rollback", first, expect=3)
    assert (refused["code"], refused["exit"]) == ("not-last", 3)  # the later run stands on it
    shop.run("scale", "accounts", "2")
    shop.assert_whole()


def test_down_needs_hold_during_a_run_and_the_next_up_brings_back_shares_and_versions(shop, load, slow_change):
    run = shop.json("apply", "--detach", slow_change)["run"]
    stands_at(shop, 0.3)
    before, rows = shop.versions("web"), len(load.report().acknowledged)
    assert shop.json("down", expect=3)["code"] == "run-under-way"
    shop.run("down", "--hold")
    assert rows > 0
    shop.run("up")
    assert shop.versions("web") == before
    assert shop.ask("/v1/status")["run"]["state"] == "held"
    shop.run("resume")
    seen = load.report().total
    shop.until(lambda: load.report().total > seen + 300)  # what users met in between is no version's fault
    assert shop.ask(f"/v1/runs/{run}")["state"] == "running"
    shop.run("abort", run)
    assert shop.ask(f"/v1/runs/{run}")["state"] == "rolled-back"
    shop.assert_whole()


def test_up_on_a_running_system_starts_nothing_twice_and_names_what_differs(shop, unharmed):
    before = shop.instances()
    shop.run("up")
    assert shop.instances() == before
    text = shop.file.read_text()
    try:
        shop.file.write_text(text.replace("instances: 2", "instances: 4", 1))
        differs = shop.json("up", expect=3)
        assert differs["code"] == "differs"
        assert "instances" in differs["text"]
    finally:
        shop.file.write_text(text)
    shop.assert_whole()


def test_the_api_answers_on_the_control_address_to_who_has_the_token(shop):
    url = f"http://{load_system(shop.file).control.listen}/v1/status"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url, timeout=60)
    with refused.value as answer:
        assert answer.code == 403
        assert answer.headers["content-type"] == "application/problem+json"
        assert b'"no-token"' in answer.read()
    token_file = shop.state / "run" / "token"
    assert token_file.stat().st_mode & 0o777 == 0o600
    request = urllib.request.Request(url, headers={"authorization": f"Bearer {token_file.read_text()}"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 200
        assert b'"system": "shop"' in answer.read().replace(b'":"', b'": "')


def test_logs_and_status_speak_to_people_and_programs(shop):
    assert set(shop.json("logs", "web")) >= {name for name in shop.instances() if name.startswith("web")}
    assert "started" in shop.run("logs", "orders", "-n", "1").out
    assert shop.json("logs", "nobody", expect=2)["code"] == "unknown-process"
    assert "web-" in shop.run("status").out
    findings = {each["code"]: each for each in shop.json("doctor")}
    assert all(each["ok"] for each in findings.values()), findings
    assert {"kernel", "haproxy", "postgres", "ports", "leftovers"} <= set(findings)
