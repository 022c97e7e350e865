"""What an application feels that speaks SQL itself while the schema below it changes: 180 statements/s, the whole cycle.

    python bench/database/sessions.py [--rows 1000000]

Six sessions do SELECT, UPDATE and INSERT, two each, at fixed times; latency counts from the moment each was due. They
write the old schema version; once the new one is there, half of them write it instead. The name is split, held, taken
back, split again and contracted by the whole product, whose own service has 10 requests/s beside them for its verdict.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # run by its path: the benchmarks' own folder

from bench.database.locks import Exclusive
from bench.database.speaking import KINDS, OLD, Sessions
from bench.database.whole import BASELINE_S, CHANGE, DIFFERING, HOLD_S, Whole

NEW = "0002_split_name"
RATE = 10.0  # requests/s of the service itself
OURS = "counting"  # the benchmark's own look at all rows, which no user of hitless has: not counted


class Cycle(Whole):
    """The cycle of `whole.py`, felt by sessions."""

    def measure(self) -> int:
        self.fill()
        self.phases: list[tuple[float, str]] = []  # since when, what
        self.sessions, locks = Sessions(self.url, self.rows), Exclusive(self.url, "items")
        try:
            self.under_load(self.felt_before_and_meanwhile)
        finally:
            (felt, errors), held_ms, over = self.sessions.stop(), locks.stop(), time.monotonic()
        self.told(felt, errors, over)
        self.figure("ACCESS EXCLUSIVE on the table held, longest", max(held_ms, default=0.0), 50, "ms")
        for missed in self.missed:
            print(f"MISSED {missed}", file=sys.stderr)
        return 1 if self.missed else 0

    def felt_before_and_meanwhile(self) -> None:
        self.enter("before")
        time.sleep(BASELINE_S)
        self.to_and_fro()

    def to_and_fro(self) -> None:
        self.written("split", {"items": CHANGE | {"keep": "10m"}})
        self.written("split-for-good", {"items": CHANGE})
        self.enter("plan")
        run = self.stage.apply("split", on_fact=self.seen).run
        self.enter("hold")
        time.sleep(HOLD_S)
        with self.counting():
            self.figure("rows that differ after the switch", self.ask(DIFFERING), 0, "")
        self.all_on(OLD)
        self.enter("rollback")
        self.stage.hitless("rollback", run)
        self.enter("report")
        self.figure("everybody back on the old side after", self.back_s(run), 1, "s")
        self.enter("plan")
        again = self.stage.apply("split-for-good", on_fact=self.seen).run
        with self.counting():
            self.figure("rows that differ before contract", self.ask(DIFFERING), 0, "")
        self.all_on(NEW)
        self.enter("contract")
        self.stage.hitless("contract", again, "--yes")
        self.enter("report")
        self.speeds(again)

    def enter(self, phase: str) -> None:
        self.phases.append((time.monotonic(), phase))

    @contextmanager
    def counting(self) -> Iterator[None]:
        self.enter(OURS)
        yield
        self.enter("hold")

    def seen(self, fact: Mapping[str, Any]) -> None:
        """Once both versions are there, half of the sessions speak the new one."""
        if fact["fact"] == "started":
            self.enter(fact["step"].split()[0])
        if fact["fact"] == "finished" and fact["step"].startswith("expand"):
            self.sessions.speak([NEW] * 3 + [OLD] * 3)

    def all_on(self, version: str) -> None:
        self.sessions.speak([version] * len(KINDS))
        time.sleep(1.0)

    def told(self, felt: list[tuple[float, float]], errors: Mapping[str, int], over: float) -> None:
        found = self.by_phase(felt, over)
        before = sorted(found.pop("before"))
        found.pop(OURS)
        after = sorted(ms for some in found.values() for ms in some)
        self.figure("statements that failed", sum(errors.values()), 0, f"of {len(felt):,}")
        for text, count in errors.items():
            print(f"    {count} x {text[:200]}")
        p99, most = _p99(after), after[-1]
        self.figure("latency p99", p99 / _p99(before), 2, f"x of {_p99(before):.1f} ms ({p99:.1f} ms)")
        self.figure("latency added, longest", most - before[len(before) // 2], 100, f"ms; before {before[-1]:.0f}")

    def by_phase(self, felt: list[tuple[float, float]], over: float) -> dict[str, list[float]]:
        """Return the milliseconds of each phase, and say what its sessions felt."""
        ends = [at for at, _ in self.phases[1:]] + [over]
        found: dict[str, list[float]] = {}
        for (since, phase), until in zip(self.phases, ends, strict=True):
            found.setdefault(phase, []).extend(ms for due, ms in felt if since <= due < until)
        for phase, some in found.items():
            if some:
                print(
                    f"    {phase:<10} {len(some):>6} statements, p99 {_p99(sorted(some)):6.1f} ms, longest {max(some):6.1f}"
                )
        return found


def _p99(ordered: list[float]) -> float:
    return ordered[int(len(ordered) * 0.99)]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=1_000_000)
    with Cycle.up(options.parse_args().rows, RATE) as bench:
        return bench.measure()


if __name__ == "__main__":
    sys.exit(main())
