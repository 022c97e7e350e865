"""kill -9 of anything of ours, while users come and go and a change is under way."""

import os
import signal
from collections.abc import Iterator

import pytest

pytestmark = pytest.mark.live
USERS = [f"user-{number}" for number in range(1, 61)]


def seen(shop) -> dict[str, str]:
    """Which version of the page each of 60 users meets."""
    answers = {user: shop.get("/", user) for user in USERS}
    assert {status for status, _ in answers.values()} == {200}
    return {user: version for user, (_, version) in answers.items()}


@pytest.fixture
def canary(shop) -> Iterator[str]:
    """A run that stands at 25 % of the users of web; taken back at the end."""
    change = shop.change(web={"to": shop.other("web"), "strategy": "canary", "steps": ["25%", "100%"], "bake": "1h"})
    run = shop.json("apply", "--detach", change)["run"]
    shop.until(lambda: 0.25 in shop.versions("web").values())
    yield run
    shop.run("abort", run)
    assert set(shop.versions("web").values()) == {1.0}
    shop.assert_whole()


def test_a_killed_instance_fails_no_idempotent_request_and_is_replaced(shop, answered):
    for name in ("web", "accounts", "orders"):
        instance, pid = next(item for item in shop.instances().items() if item[0].startswith(name))
        os.kill(pid, signal.SIGKILL)
        shop.until(lambda i=instance, p=pid: shop.instances()[i] not in (None, p))  # how soon: see the benchmark
    shop.assert_whole()


def test_a_killed_haproxy_comes_back_with_the_same_shares_though_the_controller_is_dead(shop, load, canary):
    before = seen(shop)
    assert len(set(before.values())) == 2
    shim = shop.shim("controller")
    os.kill(shim, signal.SIGKILL)
    shop.kill("controller")
    gateway = shop.kill("gateway")
    shop.until(lambda: shop.pid("gateway") != gateway and shop.get("/", "ann")[0] == 200)
    assert seen(shop) == before
    shop.run("up")  # gives the controller a new shim, and so the run a new controller
    shop.until(lambda: shop.ask("/v1/status")["run"]["run"] == canary)
    assert seen(shop) == before


def test_a_killed_postgres_costs_a_wait_and_no_row_and_the_run_goes_on(shop, load, canary):
    postgres = shop.kill("postgres")
    shop.until_back("postgres", postgres)
    shop.until(lambda: shop.ask(f"/v1/runs/{canary}")["state"] == "running")
    assert 0.25 in shop.versions("web").values()


def test_a_killed_recorder_costs_no_request_and_the_run_goes_on(shop, unharmed):
    change = shop.change(accounts={"to": shop.other("accounts"), "strategy": "blue-green", "bake": "8s"})
    with shop.start("apply", change) as command:
        shop.until(lambda: "watch" in shop.doing())
        recorder = shop.kill("recorder")
        shop.until_back("recorder", recorder)
        out, err = command.communicate(timeout=240)
        assert command.returncode == 0, out + err


def test_a_killed_shim_is_replaced_and_its_process_is_the_same_as_before(shop, unharmed):
    before = shop.instances() | {name: shop.pid(name) for name in ("gateway", "postgres", "recorder")}
    shims = {name: shop.shim(name) for name in before}
    for pid in shims.values():
        os.kill(pid, signal.SIGKILL)
    shop.until(lambda: all(shop.shim(name) != pid for name, pid in shims.items()))
    assert shop.instances() | {name: shop.pid(name) for name in ("gateway", "postgres", "recorder")} == before
    shop.assert_whole()


def leftovers(shop) -> dict[str, object]:
    findings = shop.run("--json", "doctor", expect=None).json
    return next(each for each in findings if each["code"] == "leftovers")


def test_doctor_names_what_a_crash_left_and_up_mends_it(shop):
    instance, pid = next(item for item in shop.instances().items() if item[0].startswith("accounts"))
    for each in (shop.shim("controller"), shop.pid("controller"), shop.shim(instance), pid):
        os.kill(each, signal.SIGKILL)  # the controller first: it would mend the other
    found = leftovers(shop)
    assert not found["ok"]
    assert "controller" in found["text"]
    assert instance in found["text"]
    assert "hitless up" in found["hint"]
    shop.run("up")
    shop.until(lambda: leftovers(shop)["ok"])
    shop.assert_whole()


def test_what_a_loss_of_power_took_of_the_gateways_files_is_made_again(shop, load, canary):
    before = seen(shop)
    for name in ("controller", "gateway"):
        for pid in (shop.shim(name), shop.pid(name)):
            os.kill(pid, signal.SIGKILL)
    for file in ("haproxy.cfg", "routing.map", "routes.map", "groups.map"):
        (shop.state / "gateway" / file).write_text("")
    shop.run("up")
    shop.until(lambda: shop.get("/", "ann")[0] == 200)
    assert seen(shop) == before
