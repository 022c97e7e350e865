"""Random runs under load, with anything of ours killed at random moments; stops at the first harm.

    python bench/changes/soak.py [--runs 50 | --minutes 60] [--seed 1] [--first 1]

Services by every strategy, a schema change, a flag, all of it in one, and versions that are broken on purpose; while a
run goes on, controller, gateway, flag server, recorder, PostgreSQL, instances, shims and connections to the database are
killed. After each run: no request failed that had to succeed, no row differs, it ended completed or rolled back and
whole, and no process is missing or too many. At the end every acknowledged order is read back.

The choice of run N depends on the seed, N, and what serves before it; `--first N` begins there.
"""

import argparse
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # run by its path: the benchmarks' own folder

from bench.changes.faults import Fault, faults, strike
from bench.changes.shop import Bench, held, randomly, running, until
from bench.changes.varied import wanted
from bench.changes.whole import harm_after, harm_of_processes, serving, world

from hitless.app.account_text import markdown
from hitless.app.demo import rows
from hitless.app.demo.stage import ActFailed
from hitless.kit.errors import HitlessError

BROKEN = {("orders", "1.3"), ("orders", "1.4"), ("orders", "1.5"), ("web", "2.1")}


@dataclass
class Soaked:
    """What was done and seen."""

    runs: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    killed: Counter[str] = field(default_factory=Counter)
    cut: Counter[str] = field(default_factory=Counter)  # requests, by what was killed
    harm: str = ""


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--runs", type=int, default=50)
    options.add_argument("--minutes", type=float, help="go on for so long, however many runs that are")
    options.add_argument("--rate", type=float, default=60.0)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--first", type=int, default=1, help="the number of the first run")
    asked = options.parse_args()
    end = time.monotonic() + (asked.minutes or 24 * 60) * 60
    numbers = range(asked.first, sys.maxsize if asked.minutes else asked.first + asked.runs)
    print(f"seed {asked.seed}, {asked.rate:g} requests/s", flush=True)
    with running(rate=asked.rate) as bench:
        rows.seed(bench.stage.state)
        bench.stage.broken |= BROKEN
        bench.stage.load.start()
        soaked = Soaked()
        for number in numbers:
            if soaked.harm or time.monotonic() > end:
                break
            one_run(bench, soaked, number, asked.seed)
        report = bench.stage.load.stop()
    counts = bench.stage.counts(report)
    print(f"{soaked.runs} runs: {_counted(soaked.ends)}; killed: {_counted(soaked.killed)}")
    print(f"{counts.total} requests, {counts.failed - soaked.cut.total()} failed that had to succeed")
    print(f"  beside them {counts.failed_there} of {counts.met_broken} at versions broken on purpose,")
    print(f"  and cut by a kill of what carried them: {_counted(soaked.cut)}")
    print(f"{len(report.acknowledged)} orders acknowledged, {len(report.missing or ())} missing; {held(report)}")
    if soaked.harm:
        print(f"HARM {soaked.harm}\n{report.to_text()}", file=sys.stderr)
    return 1 if soaked.harm or report.missing else 0


def one_run(bench: Bench, soaked: Soaked, number: int, seed: int) -> None:
    """Carry one change out, killing meanwhile, then look at everything; and back again where it is asked for."""
    chance, before = randomly(f"{seed}-{number}"), world(bench)
    change = wanted(chance, serving(before))
    name = bench.written(change.body)
    state = shaken(bench, soaked, f"{number:>4}  {change.kind}", faults(chance), lambda: carried_out(bench, name))
    soaked.harm = soaked.harm or harm_after(bench, change, state, before)
    if state == "completed" and change.and_back and not soaked.harm:
        run = bench.stage.runs[-1].run
        shaken(bench, soaked, "      and back", faults(chance, 3), lambda: rolled_back(bench, run))
        now = world(bench)
        soaked.harm = soaked.harm or ("" if now == before else f"rolled back, and not as it was: {before} -> {now}")
        soaked.harm = soaked.harm or harm_of_processes(bench)
    if soaked.harm:
        soaked.harm = f"run {number} of seed {seed}: {soaked.harm}\n{told(bench)}"


def told(bench: Bench) -> str:
    """What the journal says about the last run."""
    try:
        return markdown(bench.stage.hitless("show", bench.stage.runs[-1].run, "--report", "json"))
    except HitlessError as failure:
        return failure.text


def shaken(bench: Bench, soaked: Soaked, title: str, blows: list[Fault], work: Callable[[], str]) -> str:
    """Do something in a thread of its own, and strike meanwhile; returns how it ended."""
    ends: list[str] = []
    failed, began = bench.stage.counts().failed, time.monotonic()
    working = threading.Thread(target=lambda: ends.append(work()))
    working.start()
    struck, cut = list[str](), 0
    for blow in blows:
        working.join(blow.pause_s)
        if not working.is_alive():
            break
        struck.append(blow.victim)
        lost = strike(bench, blow)
        soaked.cut[blow.victim] += lost
        cut += lost
    working.join()
    settle(bench)
    soaked.runs += 1
    soaked.ends[ends[0]] += 1
    soaked.killed.update(struck)
    took = time.monotonic() - began
    print(f"{title}: {ends[0]} after {took:.0f} s, killed: {', '.join(struck) or 'nothing'}; cut {cut}", flush=True)
    if (more := bench.stage.counts().failed - failed - cut) > 0:
        seen = bench.stage.load.report()
        soaked.harm = f"{more} requests failed: {seen.reasons}; the client was late by {seen.lag_ms:.0f} ms at most"
    return ends[0]


def carried_out(bench: Bench, name: str) -> str:
    """Apply a change; returns the state that its run ended in."""
    with suppress(ActFailed):  # taken back, which may be right
        bench.stage.apply(name)
    return bench.stage.runs[-1].state


def rolled_back(bench: Bench, run: str) -> str:
    """Take a completed run back; returns the state that it is in then."""
    try:
        bench.stage.hitless("rollback", run)
        return str(bench.stage.hitless("show", run)["state"])
    except HitlessError as failure:
        return failure.text


def settle(bench: Bench) -> None:
    """Until what was on its way is counted."""
    seen = bench.stage.load.report().total
    until(lambda: bench.stage.load.report().total > seen + bench.stage.rate)


def _counted(what: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(what.items())) or "nothing"


if __name__ == "__main__":
    sys.exit(main())
