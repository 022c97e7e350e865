"""Guards in a running shop: what users feel decides, also after the controller was killed."""

import json
import time
from typing import Any

import pytest

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]


def test_the_version_that_fails_two_percent_is_taken_back_after_a_few_hundred_requests(shop: Any) -> None:
    change = str(shop.folder / "changes" / "two-percent.yaml")
    plan = shop.planned(change)
    first = plan["guards"]["steps"][0]
    assert (first["service"], first["share"], set(first["see"])) == ("orders", 0.1, {"x2", "x5"})
    assert any("sees x2 after about" in remark for remark in plan["remarks"])
    out = shop.hitless(
        "--json",
        "apply",
        shop.change("two", "services: { orders: { to: '1.2', steps: [30%, 100%], bake: 100s } }"),
        exit_code=5,
    )
    run = json.loads(out.splitlines()[0])["run"]
    shown = shop.show(run)
    verdict = shown["verdicts"][-1]
    assert (shown["state"], verdict["verdict"], verdict["guard"]) == ("rolled-back", "worse", "errors")
    assert verdict["e_value"] >= verdict["threshold"]
    assert verdict["canary"]["requests"] < 1500  # 100 s of the bake would be more; figures: bench/guards
    assert "against" in shop.hitless("show", run)


def test_a_new_version_that_makes_another_service_fail_goes_back_and_the_verdict_says_where(shop: Any) -> None:
    change = shop.change("hurting", "services: { web: { to: '9.9', steps: [30%, 100%], bake: 100s } }")
    out = shop.hitless("--json", "apply", change, exit_code=5)
    verdict = shop.show(json.loads(out.splitlines()[0])["run"])["verdicts"][-1]
    assert (verdict["verdict"], verdict["guard"]) == ("worse", "errors at orders")
    assert "users of web 9.9 fail at orders" in verdict["reason"]


def test_a_healthy_version_goes_on_with_its_test_though_the_controller_is_killed(shop: Any) -> None:
    change = shop.change("healthy", "services: { orders: { to: '1.1', steps: [20%, 100%], bake: 4s } }")
    run = json.loads(shop.hitless("--json", "apply", "--detach", change).splitlines()[0])["run"]
    deadline = time.monotonic() + 240
    while "watch" not in [
        step["describe"].split()[0] for step in shop.show(run)["steps"] if step["state"] == "running"
    ]:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    time.sleep(2)
    shop.kill_controller()
    shop.hitless("watch", run, "--timeout", "240s")
    verdicts = shop.show(run)["verdicts"]  # a step that takes long is told of more than once
    compared = [verdict for verdict in verdicts if verdict["baseline"] is not None][-1]
    assert verdicts[-1]["verdict"] == "no baseline"
    assert compared["seconds"]["seen"] >= 4
    assert compared["compared"]["canary"]["users"] == compared["canary"]["users"]  # counted once over both lives
