"""Guards in a running shop: a real gateway, real processes, users, and a controller that is killed."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hitless.app.demo.shop import copy_shop
from hitless.testing.load import Load
from hitless.testing.shop import shop_profile

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]
HITLESS = Path(sys.executable).parent / "hitless"
RATE = 250.0
HURTING_WEB = '''
"""Web 9.9: asks orders for something that orders cannot bear, and hides it from its users."""

from shop.calls import Called
from shop.http import Wrong
from shop.server import serve
from shop.web import Web


class Hurting(Web):
    def __init__(self):
        super().__init__()
        get = self._orders.get

        async def hurting(path, headers):
            try:
                return await get("/orders?limit=7", headers)
            except Wrong:
                return Called(200, "?", {"orders": []})

        self._orders.get = hurting

    def page(self, session, account, orders):
        return "all is well"


if __name__ == "__main__":
    serve(Hurting)
'''


class Shop:
    """A copy of the shop on free ports, under load."""

    def __init__(self, folder: Path) -> None:
        self.file = copy_shop(folder / "shop")
        system: dict[str, Any] = yaml.safe_load(self.file.read_text())
        for service in system["services"].values():
            service["ready_timeout"] = "60s"  # a busy machine starts slowly; that is not what is tested
        self.file.write_text(yaml.safe_dump(system, sort_keys=False))
        self.folder, self.state = self.file.parent, self.file.parent / ".hitless"
        self.url = f"http://{system['gateway']['listen']}"

    def hitless(self, *words: str, exit_code: int = 0) -> str:
        said = subprocess.run(
            [HITLESS, "-f", self.file, *words], check=False, capture_output=True, text=True, timeout=240
        )
        assert said.returncode == exit_code, said.stdout + said.stderr
        return said.stdout

    def change(self, name: str, text: str) -> str:
        path = self.folder / "changes" / f"{name}.yaml"
        path.write_text(f"change: {name}\n{text}\n")
        return str(path)

    def planned(self, change: str) -> dict[str, Any]:
        """Plan, again while a busy machine does not yet know today's traffic."""
        for _ in range(10):
            plan: dict[str, Any] = json.loads(self.hitless("--json", "plan", change))
            if plan["guards"]["steps"][0]["see"]:
                break
            time.sleep(1)
        return plan

    def show(self, run: str) -> dict[str, Any]:
        shown: dict[str, Any] = json.loads(self.hitless("--json", "show", run))
        return shown

    def kill_controller(self) -> None:
        os.kill(int((self.state / "run" / "controller.pid").read_text()), signal.SIGKILL)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    shop = Shop(tmp_path_factory.mktemp("guards"))
    release = shop.folder / "releases" / "web" / "9.9"
    release.mkdir()
    (release / "web.py").write_text(HURTING_WEB)
    orders = shop.folder / "common" / "shop" / "orders.py"
    trap = 'limit = int(request.number("limit", 10, least=1, most=100))\n'
    assert trap in orders.read_text()
    orders.write_text(orders.read_text().replace(trap, f"{trap}        assert limit != 7\n"))
    shop.hitless("up")
    profile = shop_profile(
        shop.url, rate=RATE, seconds=600, download=None, stream=None, websocket=None, check=None, check_says=""
    )
    load = Load(profile)
    running = threading.Thread(target=lambda: asyncio.run(load.run()))
    running.start()
    try:
        time.sleep(3)  # so that the plan knows today's traffic
        yield shop
    finally:
        load.stop_soon()
        running.join(60)
        shop.hitless("down")


def test_the_version_that_fails_two_percent_is_taken_back_after_a_few_hundred_requests(shop: Shop) -> None:
    change = str(shop.folder / "changes" / "two-percent.yaml")
    first = shop.planned(change)["guards"]["steps"][0]
    assert (first["service"], first["share"], set(first["see"])) == ("orders", 0.1, {"x2", "x5"})
    assert any("sees x2 after about" in remark for remark in shop.planned(change)["remarks"])
    out = shop.hitless(
        "--json",
        "apply",
        shop.change("two", "services: { orders: { to: '1.2', steps: [10%, 100%], bake: 100s } }"),
        exit_code=5,
    )
    run = json.loads(out.splitlines()[0])["run"]
    shown = shop.show(run)
    verdict = shown["verdicts"][-1]
    assert (shown["state"], verdict["verdict"], verdict["guard"]) == ("rolled-back", "worse", "errors")
    assert verdict["e_value"] >= verdict["threshold"]
    assert verdict["canary"]["requests"] < 1500  # 100 s of the bake would be more; figures: bench/guards
    assert "against" in shop.hitless("show", run)


def test_a_new_version_that_makes_another_service_fail_goes_back_and_the_verdict_says_where(shop: Shop) -> None:
    change = shop.change("hurting", "services: { web: { to: '9.9', steps: [10%, 100%], bake: 100s } }")
    out = shop.hitless("--json", "apply", change, exit_code=5)
    verdict = shop.show(json.loads(out.splitlines()[0])["run"])["verdicts"][-1]
    assert (verdict["verdict"], verdict["guard"]) == ("worse", "errors at orders")
    assert "users of web 9.9 fail at orders" in verdict["reason"]


def test_a_healthy_version_goes_on_with_its_test_though_the_controller_is_killed(shop: Shop) -> None:
    change = shop.change("healthy", "services: { orders: { to: '1.1', steps: [20%, 100%], bake: 5s } }")
    run = json.loads(shop.hitless("--json", "apply", "--detach", change).splitlines()[0])["run"]
    deadline = time.monotonic() + 120
    while "watch" not in [
        step["describe"].split()[0] for step in shop.show(run)["steps"] if step["state"] == "running"
    ]:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    time.sleep(3)
    shop.kill_controller()
    shop.hitless("watch", run, "--timeout", "120s")
    verdicts = shop.show(run)["verdicts"]
    assert [verdict["verdict"] for verdict in verdicts][-1] == "no baseline"
    assert verdicts[0]["seconds"]["seen"] >= 5
    assert verdicts[0]["compared"]["canary"]["users"] == verdicts[0]["canary"]["users"]  # counted once over both lives
