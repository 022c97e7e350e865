"""How many requests of users a bad version costs in a running shop, and how often a healthy one is taken back.

    python bench/guards/bench_live.py [--bad 10] [--healthy 50] [--rate 300]

A copy of the example shop runs under load; every version of its orders fails 0.1 % of the requests. Again and again
version 1.2 is applied, which fails 2 % more, at 5 % share; then version 1.1, which is healthy. Counted are the
requests that reached the new version from the first to the last one, by the log of the gateway. The bound is what the
best possible test needs on average (docs/verdict.md).
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import yaml

from hitless.app.demo.shop import copy_shop
from hitless.app.world import recorder_socket
from hitless.signals.ticks import RecorderTicks
from hitless.testing.load import Load
from hitless.testing.shop import shop_profile
from hitless.verdict import requests_to_see

HITLESS = Path(sys.executable).parent / "hitless"
RATIO, RATE_OF_ERRORS, SHARE = 20.0, 0.001, 0.05
BAD = "change: bad\nservices:\n  orders: { to: '1.2', steps: [5%, 100%], bake: 60s }\n"
HEALTHY = "change: healthy-{number}\nservices:\n  orders: {{ to: '{to}', steps: [5%, 100%], bake: {bake} }}\n"


class Shop:
    """A shop in a folder of its own, with luck as the benchmark wants it."""

    def __init__(self, folder: Path) -> None:
        self.file = copy_shop(folder / "shop")
        system: dict[str, Any] = yaml.safe_load(self.file.read_text())
        system["services"]["orders"]["env"]["SHOP_FAIL_SHARE"] = str(RATE_OF_ERRORS)
        self.file.write_text(yaml.safe_dump(system, sort_keys=False))
        self.url = f"http://{system['gateway']['listen']}"
        self.state = self.file.parent / ".hitless"

    def hitless(self, *words: str, expect: tuple[int, ...] = (0,)) -> str:
        """Say a command; returns what it printed."""
        said = subprocess.run(
            [HITLESS, "-f", self.file, *words], check=False, capture_output=True, text=True, timeout=900
        )
        if said.returncode not in expect:
            raise RuntimeError(f"{words}: exit {said.returncode}\n{said.stdout}{said.stderr}")
        return said.stdout

    def apply(self, change: str) -> tuple[int, dict[str, Any]]:
        """Apply a change; returns how many requests met the new version, and the run."""
        file = self.file.parent / "changes" / "benchmark.yaml"
        file.write_text(change)
        begun = time.time()
        out = self.hitless("--json", "apply", str(file), expect=(0, 5))
        run = json.loads(out.splitlines()[0])["run"]
        shown = json.loads(self.hitless("--json", "show", run))
        return asyncio.run(self.met(begun, time.time())), shown

    async def met(self, begun: float, ended: float) -> int:
        """Count the requests to slot b of orders, by the log of the gateway."""
        count = 0
        async for second in RecorderTicks(recorder_socket(self.state)).follow(begun - 1):
            for (service, slot), arm in second.arms.items():
                count += arm.requests if (service, slot) == ("orders", "b") else 0
            if second.at >= ended + 1:
                return count
        return count


def under_load(shop: Shop, rate: float) -> tuple[Load, threading.Thread]:
    more = {"download": None, "stream": None, "websocket": None, "check": None, "check_says": ""}
    load = Load(shop_profile(shop.url, rate=rate, seconds=7200, **more))
    thread = threading.Thread(target=lambda: asyncio.run(load.run()), daemon=True)
    thread.start()
    return load, thread


def bad_runs(shop: Shop, runs: int) -> list[dict[str, Any]]:
    found = []
    for number in range(runs):
        met, shown = shop.apply(BAD)
        verdict = shown["verdicts"][-1]
        found.append(
            {
                "met": met,
                "state": shown["state"],
                **{key: verdict[key] for key in ("canary", "baseline", "guard", "compared", "e_value")},
            }
        )
        print(json.dumps({"bad": number, **found[-1]}), file=sys.stderr, flush=True)
    return found


def healthy_runs(shop: Shop, runs: int, bake: str) -> list[dict[str, Any]]:
    found, version = [], "1.0"
    for number in range(runs):
        version = "1.1" if version == "1.0" else "1.0"
        _, shown = shop.apply(HEALTHY.format(number=number, to=version, bake=bake))
        verdict = shown["verdicts"][-1]
        found.append({"state": shown["state"], "reason": verdict["reason"]})
        if shown["state"] != "completed":
            version = "1.0" if version == "1.1" else "1.1"
        print(json.dumps({"healthy": number, **found[-1]}), file=sys.stderr, flush=True)
    return found


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--bad", type=int, default=10)
    arguments.add_argument("--healthy", type=int, default=50)
    arguments.add_argument("--rate", type=float, default=300.0)
    arguments.add_argument("--bake", default="10s", help="of a step of a healthy release")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="hitless-bench-") as folder:
        shop = Shop(Path(folder))
        shop.hitless("up")
        try:
            load, thread = under_load(shop, given.rate)
            time.sleep(5)
            bad = bad_runs(shop, given.bad)
            healthy = healthy_runs(shop, given.healthy, given.bake)
            load.stop_soon()
            thread.join(60)
        finally:
            shop.hitless("down")
    bound = requests_to_see(RATIO, RATE_OF_ERRORS, SHARE)
    back = sum(each["state"] != "completed" for each in healthy)
    figures = {
        "bound_requests": bound,
        "goal_requests": 2 * bound,
        "median_requests": statistics.median(each["met"] for each in bad) if bad else None,
        "most_requests": max((each["met"] for each in bad), default=None),
        "bad_taken_back": sum(each["state"] == "rolled-back" for each in bad),
        "bad": len(bad),
        "healthy_taken_back": back,
        "healthy": len(healthy),
        "cpus": os.cpu_count(),
    }
    print(json.dumps(figures))
    missed = bad and (figures["bad_taken_back"] < len(bad) or figures["median_requests"] > 2 * bound)
    return 1 if missed or back > 2 else 0


if __name__ == "__main__":
    sys.exit(main())
