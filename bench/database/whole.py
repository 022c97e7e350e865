"""What an application feels while the schema below it changes, through the whole product: gateway, services, database.

    python bench/database/whole.py [--rows 1000000] [--rate 180]

One service on a table of 1,000,000 rows of 171 bytes, 180 requests/s (SELECT, UPDATE, INSERT in equal shares) by HTTP.
First nothing happens: that is the baseline. Then the name is split by a canary at 50 % of the users, so that two schema
versions are written at once; held; taken back; done again; contracted. Latency counts from the moment a request was due.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import psycopg
import yaml

sys.path.insert(0, str(Path(__file__).parents[2]))  # run by its path: the benchmarks' own folder

from bench.database.locks import Exclusive

from hitless.app.demo.shop import find_shop, give_ports
from hitless.app.demo.stage import Stage
from hitless.app.paths import load_system
from hitless.runtime.postgres import EmbeddedPostgres
from hitless.testing.load import Load, Report
from hitless.testing.load.profile import Profile

HERE = Path(__file__).parent
BASELINE_S = 20.0
COMMAND_S = 600.0  # a backfill that gives way takes its time
HOLD_S = 10.0
FILL = (
    "INSERT INTO items (a, name, email, status, note, payload) SELECT g %% 100000, 'First' || g || ' Last' || g, "
    "'user' || g || '@example.com', CASE g %% 3 WHEN 0 THEN 'new' WHEN 1 THEN 'paid' ELSE 'done' END, "
    "CASE WHEN g %% 2 = 0 THEN 'n' || g END, repeat(md5(g::text), 2) FROM generate_series(1, %s) g"
)
DIFFERING = (
    "SELECT count(*) FROM hitless_0001_items.items o FULL JOIN hitless_0002_split_name.items n USING (id) "
    "WHERE o.name IS DISTINCT FROM n.first_name || ' ' || n.last_name OR o.a IS DISTINCT FROM n.a"
)
SPLIT = {"main": ["0002_split_name"]}
CHANGE: dict[str, Any] = {"strategy": "canary", "steps": ["50%", "100%"], "bake": "5s", "to": "2.0"}


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--rate", type=float, default=180.0)
    wanted = options.parse_args()
    with Whole.up(wanted.rows, wanted.rate) as bench:
        return bench.measure()


class Whole:
    """One system that is changed to and fro under load."""

    @classmethod
    @contextmanager
    def up(cls, rows: int, rate: float) -> Iterator[Self]:
        """Start it in a folder of its own; both are gone afterwards."""
        folder = Path(tempfile.mkdtemp(prefix="hitless-bench-"))
        bench = cls(folder, rows, rate)
        try:
            bench.stage.hitless("up")
            yield bench
        finally:
            bench.stage.hitless("down", "--hold")
            shutil.rmtree(folder, ignore_errors=True)

    def __init__(self, folder: Path, rows: int, rate: float) -> None:
        target = folder / "bench"
        shutil.copytree(HERE / "live", target, ignore=shutil.ignore_patterns("__pycache__"))
        file = target / "hitless.yaml"
        system = yaml.safe_load(file.read_text())
        give_ports(system)
        paths = f"{find_shop() / 'common'}:{target}"
        system["services"]["items"]["env"] = {"PYTHONPATH": paths}
        file.write_text(yaml.safe_dump(system, sort_keys=False))
        self.stage = Stage(file=file, say=print, rate=rate, command_s=COMMAND_S)
        self.rows, self.rate = rows, rate
        self.missed: list[str] = []

    @property
    def url(self) -> str:
        return EmbeddedPostgres(self.stage.state).url("main")

    def ask(self, sql: str, *values: object) -> Any:
        with psycopg.connect(self.url, autocommit=True, application_name="hitless") as connection:
            cursor = connection.execute(sql.encode(), values or None)
            found = cursor.fetchone() if cursor.description else None
        return found[0] if found else None

    def fill(self) -> None:
        """Have all rows there, and nothing left to do for the server and for the disk."""
        for sql, *values in ((FILL, self.rows), ("VACUUM ANALYZE items",), ("CHECKPOINT",)):
            self.ask(sql, *values)
        os.sync()

    def measure(self) -> int:
        self.fill()
        before = int(self.ask("SELECT sum(a) FROM items"))
        locks = Exclusive(self.url, "items")  # from the beginning: it costs the baseline as much
        quiet = self.under_load(lambda: time.sleep(BASELINE_S))
        loaded = self.under_load(self.to_and_fro)
        held_ms = locks.stop()
        touched = sum(
            each.total - each.failed for seen in (quiet, loaded) for each in seen.slices if "touch" in each.path
        )
        self.latencies(quiet, loaded)
        self.figure("requests of the application that failed", loaded.failed, 0, f"of {loaded.total:,}")
        self.figure("acknowledged rows missing", len(loaded.missing or ()), 0, f"of {len(loaded.acknowledged):,}")
        lost = before + touched - int(self.ask("SELECT sum(a) FROM items"))
        self.figure("acknowledged updates lost", lost, 0, f"of {touched:,}")
        self.figure(
            "ACCESS EXCLUSIVE on the table held, longest", max(held_ms, default=0.0), 50, f"ms, {len(held_ms)} times"
        )
        for missed in self.missed:
            print(f"MISSED {missed}", file=sys.stderr)
        return 1 if self.missed else 0

    def under_load(self, work: Callable[[], object]) -> Report:
        """Do something while the application is used; returns what its users felt."""
        gateway = load_system(self.stage.file).gateway.listen
        gets = ("/items/{user}", "/items/{user}/touch")
        more = {"check": "/items/added/{id}", "check_says": '"times": 1}', "outstanding": 2000}
        users = min(self.rows, 1_000_000)
        self.stage.load = Load(
            Profile(url=f"http://{gateway}", rate=self.rate, users=users, get=gets, post=("/items",), **more)
        )
        self.stage.load.start()
        try:
            work()
        finally:
            report = self.stage.load.stop()
        return report

    def to_and_fro(self) -> None:
        self.written("split", {"items": CHANGE | {"keep": "10m"}})
        self.written("split-for-good", {"items": CHANGE})
        run = self.stage.apply("split").run
        time.sleep(HOLD_S)
        self.figure(
            "rows that differ after the switch",
            self.ask(DIFFERING),
            0,
            f"of {self.ask('SELECT count(*) FROM items'):,}",
        )
        self.stage.tell("$ hitless rollback")
        self.stage.hitless("rollback", run)
        self.figure("everybody back on the old side after", self.back_s(run), 1, "s")
        again = self.stage.apply("split-for-good").run
        self.figure("rows that differ before contract", self.ask(DIFFERING), 0, "")
        self.stage.tell("$ hitless contract")
        self.stage.hitless("contract", again, "--yes")
        self.speeds(again)

    def written(self, name: str, services: Any, database: Any = SPLIT) -> str:
        """Write a change file; returns its path."""
        body = {"change": name, "database": database, "services": services}
        file = self.stage.file.parent / "changes" / f"{name}.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(yaml.safe_dump({key: value for key, value in body.items() if value}))
        return str(file)

    def back_s(self, run: str) -> float:
        """From the decision to go back until nobody meets the new side, by the journal."""
        told = self.stage.hitless("show", run, "--report", "json")
        asked = next(each["at"] for each in told["people"] if each["what"] == "turned-back")
        shifts = [
            each for each in told["steps"] if " to " in each["describe"] and each["describe"].startswith("items:")
        ]
        return max(each["taken_back"] + each["taking_back_took_s"] for each in shifts) - asked

    def speeds(self, run: str) -> None:
        """Say how long the phases took with the application above them."""
        for each in self.stage.hitless("show", run, "--report", "json")["steps"]:
            if each["describe"].split()[0] in ("expand", "backfill", "verify", "switch", "contract"):
                print(f"  {each['describe'][:60]:<62} {each['took_s']:8.3f} s")

    def latencies(self, quiet: Report, loaded: Report) -> None:
        base, seen = quiet.latency_ms, loaded.latency_ms
        print(f"  latency ms, nothing happens: {base}\n  latency ms, all of it:       {seen}")
        self.figure("latency p99", seen["p99"] / base["p99"], 2, f"x of {base['p99']:.1f} ms")
        self.figure("latency added, longest", seen["max"] - base["p50"], 100, f"ms; baseline {base['max']:.0f}")

    def figure(self, name: str, found: float, most: float, more: str) -> None:
        good = found <= most
        print(f"  {name:<46} {found:10.3g} {more:<22} wanted {most:g}{'' if good else '  MISSED'}", flush=True)
        if not good:
            self.missed.append(f"{name}: {found:g} {more}, wanted {most:g}")


if __name__ == "__main__":
    sys.exit(main())
