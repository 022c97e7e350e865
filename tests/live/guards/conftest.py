"""A running shop: a real gateway, real processes, users, and a controller that can be killed."""

import asyncio
import json
import os
import shutil
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
from hitless.cli.client import Client
from hitless.testing.load import Load
from hitless.testing.shop import shop_profile

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


EMPTY_WEB = '''
"""Web 9.8: answers every request well, but there is nothing to buy with."""

from shop.http import Response
from shop.server import serve
from shop.web import Web


class Empty(Web):
    async def handle(self, request):
        return Response(200, b"come back tomorrow", "text/html; charset=utf-8", {})


if __name__ == "__main__":
    serve(Empty)
'''
RELEASES = {"9.8": EMPTY_WEB, "9.9": HURTING_WEB}


class Shop:
    """A copy of the shop on free ports, under load."""

    def __init__(self, folder: Path) -> None:
        self.file = copy_shop(folder / "shop")
        system: dict[str, Any] = yaml.safe_load(self.file.read_text())
        for service in system["services"].values():
            service["ready_timeout"] = "240s"  # a busy machine starts slowly; that is not what is tested
        self.file.write_text(yaml.safe_dump(system, sort_keys=False))
        self.folder, self.state = self.file.parent, self.file.parent / ".hitless"
        self.url = f"http://{system['gateway']['listen']}"
        self.control = f"http://{system['control']['listen']}"

    def hitless(self, *words: str, exit_code: int = 0) -> str:
        said = subprocess.run(
            [HITLESS, "-f", self.file, *words], check=False, capture_output=True, text=True, timeout=600
        )
        assert said.returncode == exit_code, said.stdout + said.stderr
        return said.stdout

    def change(self, name: str, text: str) -> str:
        path = self.folder / "changes" / f"{name}.yaml"
        path.write_text(f"change: {name}\n{text}\n")
        return str(path)

    def planned(self, change: str) -> dict[str, Any]:
        """Plan, again while a busy machine does not yet know today's traffic."""
        for _ in range(60):
            plan: dict[str, Any] = json.loads(self.hitless("--json", "plan", change))
            if plan["guards"]["steps"][0]["see"]:
                break
            time.sleep(1)
        return plan

    def show(self, run: str) -> dict[str, Any]:
        shown: dict[str, Any] = Client(self.state).patiently(f"/v1/runs/{run}", patience_s=240.0)
        return shown

    def version(self, service: str) -> str:
        status = json.loads(self.hitless("--json", "status"))
        return str(status["services"][service]["versions"][0]["version"])

    def kill_controller(self) -> None:
        os.kill(int((self.state / "run" / "controller.pid").read_text()), signal.SIGKILL)


@pytest.fixture(scope="package")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    shop = Shop(tmp_path_factory.mktemp("guards"))
    for version, program in RELEASES.items():
        release = shop.folder / "releases" / "web" / version
        release.mkdir()
        (release / "web.py").write_text(program)
    shutil.copytree(shop.folder / "releases" / "orders" / "1.0", shop.folder / "releases" / "orders" / "9.7")
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
