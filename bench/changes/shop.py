"""A shop under load for the benchmarks of changes: every figure is taken at the client or from the journal."""

import os
import random
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from hitless.app.demo.shop import copy_shop
from hitless.app.demo.stage import Counts, Stage
from hitless.kit.errors import Exit
from hitless.kit.files import socket_folder
from hitless.testing.load import Report
from hitless.traffic.layout import ROUTING_MAP
from hitless.traffic.runtime_api import RuntimeApi, Unreachable


class Bench:
    """One shop, changed again and again."""

    def __init__(self, folder: Path, *, rate: float, quiet: bool) -> None:
        self.stage = Stage(file=copy_shop(folder / "shop"), rate=rate, say=(lambda _: None) if quiet else print)
        self.facts: list[dict[str, Any]] = []
        self._number = 0

    def change(self, **services: dict[str, Any]) -> str:
        """Write a change file of services alone; returns its name."""
        return self.written({"services": services})

    def written(self, body: dict[str, Any]) -> str:
        """Write a change file; returns its name."""
        self._number += 1
        name = f"bench-{self._number}"
        file = self.stage.file.parent / "changes" / f"{name}.yaml"
        file.write_text(yaml.safe_dump({"change": name} | body))
        return name

    def apply(self, name: str, expect: Exit = Exit.DONE) -> str:
        """Carry a change out; returns the run's id."""
        return self.stage.apply(name, expect=expect, on_fact=self.facts.append).run

    def other(self, service: str) -> str:
        """A good version that does not serve just now."""
        known = {"web": ("1.0", "2.0"), "orders": ("1.0", "1.1"), "accounts": ("1.0", "1.1")}[service]
        versions = self.stage.hitless("status")["services"][service]["versions"]
        now = max(versions, key=lambda each: each["share"])["version"]
        return known[1] if now == known[0] else known[0]

    def instances(self) -> dict[str, int]:
        services = self.stage.hitless("status")["services"].values()
        return {i["id"]: i["pid"] for s in services for version in s["versions"] for i in version["instances"]}

    def duplicates(self) -> list[str]:
        """Processes of instances that should not be there, or are there twice."""
        wanted, found = self.instances(), list[str]()
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                environment, where = (folder / "environ").read_text(), (folder / "cwd").readlink()
            except OSError:
                continue
            name = next((w[17:] for w in environment.split("\0") if w.startswith("HITLESS_INSTANCE=")), None)
            if (
                name is not None
                and where.is_relative_to(self.stage.file.parent)
                and wanted.get(name) != int(folder.name)
            ):
                found.append(f"{name} ({folder.name})")
        return found


@contextmanager
def running(*, rate: float = 300.0, quiet: bool = True) -> Iterator[Bench]:
    """A shop that is up; gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="hitless-bench-"))
    bench = Bench(folder, rate=rate, quiet=quiet)
    try:
        bench.stage.hitless("up")
        yield bench
    finally:
        bench.stage.hitless("down", "--hold")
        shutil.rmtree(folder, ignore_errors=True)


class Shares(threading.Thread):
    """Looks at the map of shares of a running HAProxy, and keeps when each row was first seen."""

    LOOK_S = 0.004

    def __init__(self, state: Path) -> None:
        super().__init__(daemon=True)
        self._api = RuntimeApi(socket_folder(state) / "haproxy.sock")
        self._seen: dict[str, str] = {}
        self._changed: list[tuple[float, str]] = []  # when, and of which service
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(self.LOOK_S):
            with suppress(Unreachable):
                self._look(self._api.ask(f"show map {ROUTING_MAP}")[0])

    def stop(self) -> None:
        self._over.set()
        self.join()

    def _look(self, table: str) -> None:
        now = time.time()
        for row in table.splitlines():
            _, service, arms = row.split()
            arms = arms.rpartition("|")[0]  # without the epoch
            if self._seen.get(service, arms) != arms:
                self._changed.append((now, service))
            self._seen[service] = arms

    def in_force_ms(self, facts: list[dict[str, Any]]) -> list[float]:
        """From the line in the journal that begins a step which moves users to the row in HAProxy, forward and back."""
        begun = [fact for fact in facts if fact["fact"] in ("started", "undoing") and moves_users(fact["step"])]
        found = []
        for fact in begun:
            service = fact["step"].partition(":")[0]
            after = [at - fact["at"] for at, name in self._changed if name == service and 0 <= at - fact["at"] < 2]
            found += [min(after) * 1000] if after else []
        return found


def moves_users(step: str) -> bool:
    service, _, rest = step.partition(": ")
    return service in ("web", "orders", "accounts") and " to " in rest


def until(condition: Any, bound_s: float = 30.0) -> float:
    began = time.monotonic()
    while not condition():
        if time.monotonic() > began + bound_s:
            raise TimeoutError(f"not within {bound_s:g} s")
        time.sleep(0.002)
    return time.monotonic() - began


def kill(pid: int) -> float:
    os.kill(pid, signal.SIGKILL)
    return time.monotonic()


def randomly(seed: int) -> random.Random:
    return random.Random(seed)


def held(report: Report) -> str:
    assert report.download is not None
    assert report.websocket is not None
    return (
        f"downloads {report.download.completed} complete, {report.download.closed} closed in stages, {report.download.failed} cut; "
        f"websocket {report.websocket.echoed}/{report.websocket.sent} echoed, {report.websocket.closed} closed in stages, "
        f"{report.websocket.failed} cut"
    )


def line(name: str, counts: Counts, more: str = "") -> str:
    broken = (
        f" ({counts.failed_there} of {counts.met_broken} at the broken version, by design)" if counts.met_broken else ""
    )
    return f"  {name:<34} {counts.total:>7} requests  {counts.failed:>3} failed{broken}  {more}"
