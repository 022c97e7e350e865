"""What an application feels that speaks SQL itself while the schema below it changes: 180 statements/s, the whole cycle.

    python bench/database/sessions.py [--rows 1000000]

Six sessions do SELECT, UPDATE and INSERT, two each, at fixed times; latency counts from the moment each was due. They
write the old schema version; once the new one is there, half of them write it instead. The name is split, held, taken
back, split again and contracted by the whole product, whose own service has 10 requests/s beside them for its verdict.
"""

import argparse
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg

sys.path.insert(0, str(Path(__file__).parents[2]))  # run by its path: the benchmarks' own folder

from bench.database.locks import Exclusive
from bench.database.whole import BASELINE_S, CHANGE, DIFFERING, HOLD_S, Whole

from hitless.database.urls import version_url

OLD, NEW = "0001_items", "0002_split_name"
EACH_S = 1 / 30  # between two statements of one session
RATE = 10.0  # requests/s of the service itself
INSERT = (
    "INSERT INTO items (a, email, status, note, payload, {}) VALUES (%(a)s, 'l@x', 'new', 'n', repeat('z', 60), {})"
)
STATEMENTS: Mapping[str, Mapping[str, str]] = {
    OLD: {
        "SELECT": "SELECT id, name, a FROM items WHERE id = %(id)s",
        "UPDATE": "UPDATE items SET a = a + 1 WHERE id = %(id)s",
        "INSERT": INSERT.format("name", "'Load Test'"),
    },
    NEW: {
        "SELECT": "SELECT id, first_name, last_name, a FROM items WHERE id = %(id)s",
        "UPDATE": "UPDATE items SET a = a + 1 WHERE id = %(id)s",
        "INSERT": INSERT.format("first_name, last_name", "'Load', 'Test'"),
    },
}


class Session(threading.Thread):
    """Does one kind of statement at its times, on the schema version that it is told; opens again what is closed."""

    def __init__(self, url: str, kind: str, rows: int) -> None:
        super().__init__(daemon=True)
        self.url, self.kind, self.rows = url, kind, rows
        self.version, self.over = OLD, False
        self.felt: list[tuple[float, float]] = []  # when it was due, milliseconds
        self.errors: Counter[str] = Counter()

    def run(self) -> None:
        due = time.monotonic() + random.random() * EACH_S
        while not self.over:
            try:
                due = self._on(self.version, due)
            except psycopg.Error as error:
                self.errors[f"{self.kind} on {self.version}: {error}".strip()] += 1
                due += EACH_S

    def _on(self, version: str, due: float) -> float:
        """Work on a version until told another; returns when the next statement is due."""
        with psycopg.connect(version_url(self.url, version), autocommit=True) as connection:
            while not self.over and self.version == version:
                time.sleep(max(0.0, due - time.monotonic()))
                values = {"id": random.randint(1, self.rows), "a": random.randint(1, 1000)}
                connection.execute(STATEMENTS[version][self.kind], values)
                self.felt.append((due, (time.monotonic() - due) * 1000))
                due += EACH_S
        return due


class Sessions(Whole):
    """The cycle of `whole.py`, felt by sessions."""

    def measure(self) -> int:
        self.fill()
        self.phases: list[tuple[float, str]] = []  # since when, what
        self.sessions = [Session(self.url, kind, self.rows) for kind in ("SELECT", "UPDATE", "INSERT") * 2]
        for session in self.sessions:
            session.start()
        time.sleep(BASELINE_S)
        began, locks = time.monotonic(), Exclusive(self.url, "items")
        try:
            self.under_load(self.to_and_fro)
        finally:
            for session in self.sessions:
                session.over = True
        held_ms, over = locks.stop(), time.monotonic()
        for session in self.sessions:
            session.join()
        self.told(began, over)
        self.figure("ACCESS EXCLUSIVE on the table held, longest", max(held_ms, default=0.0), 50, "ms")
        for missed in self.missed:
            print(f"MISSED {missed}", file=sys.stderr)
        return 1 if self.missed else 0

    def to_and_fro(self) -> None:
        self.written("split", {"items": CHANGE | {"keep": "10m"}})
        self.written("split-for-good", {"items": CHANGE})
        run = self.stage.apply("split", on_fact=self.seen).run
        time.sleep(HOLD_S)
        self.figure("rows that differ after the switch", self.ask(DIFFERING), 0, "")
        self.all_on(OLD)
        self.stage.hitless("rollback", run)
        self.figure("everybody back on the old side after", self.back_s(run), 1, "s")
        again = self.stage.apply("split-for-good", on_fact=self.seen).run
        self.figure("rows that differ before contract", self.ask(DIFFERING), 0, "")
        self.all_on(NEW)
        self.stage.hitless("contract", again, "--yes")
        self.speeds(again)

    def seen(self, fact: Mapping[str, Any]) -> None:
        """Once both versions are there, half of the sessions speak the new one."""
        if fact["fact"] == "started":
            self.phases.append((time.monotonic(), fact["step"].split()[0]))
        if fact["fact"] == "finished" and fact["step"].startswith("expand"):
            for session in self.sessions[:3]:
                session.version = NEW

    def all_on(self, version: str) -> None:
        for session in self.sessions:
            session.version = version
        time.sleep(1.0)

    def told(self, began: float, over: float) -> None:
        errors = sum((session.errors for session in self.sessions), Counter[str]())
        felt = [each for session in self.sessions for each in session.felt]
        before = sorted(ms for due, ms in felt if due < began)
        after = sorted(ms for due, ms in felt if began <= due < over)
        self.figure("statements that failed", errors.total(), 0, f"of {len(after):,}")
        for text, count in errors.most_common(5):
            print(f"    {count} x {text[:200]}")
        self.by_phase(felt, over)
        p99, most = _p99(after), after[-1]
        self.figure("latency p99", p99 / _p99(before), 2, f"x of {_p99(before):.1f} ms ({p99:.1f} ms)")
        self.figure("latency added, longest", most - before[len(before) // 2], 100, f"ms; before {before[-1]:.0f}")

    def by_phase(self, felt: list[tuple[float, float]], over: float) -> None:
        ends = [at for at, _ in self.phases[1:]] + [over]
        found: dict[str, list[float]] = {}
        for (since, phase), until in zip(self.phases, ends, strict=True):
            found.setdefault(phase, []).extend(ms for due, ms in felt if since <= due < until)
        for phase, some in found.items():
            if some:
                print(
                    f"    {phase:<10} {len(some):>6} statements, p99 {_p99(sorted(some)):6.1f} ms, longest {max(some):6.1f}"
                )


def _p99(ordered: list[float]) -> float:
    return ordered[int(len(ordered) * 0.99)]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=1_000_000)
    with Sessions.up(options.parse_args().rows, RATE) as bench:
        return bench.measure()


if __name__ == "__main__":
    sys.exit(main())
