"""kill -9 at random moments and at every boundary of a schema change, while two schema versions are written.

    python bench/database/kills.py [--kills 50] [--rows 300000] [--seed 1]

The controller, PostgreSQL, or all connections of hitless to the database are killed while a name is split and while it
is taken back, again and again. Writers of both versions remember what was acknowledged. After each run it must have ended
as it should by itself, no row may differ between the versions or from what was acknowledged, no row of the backfill may
have been counted twice, and where a backfill was killed it goes on from its last batch. Then the controller is killed at
every boundary of the journal, forward, back, and over contract.
"""

import argparse
import random
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psycopg

sys.path.insert(0, str(Path(__file__).parents[2]))  # run by its path: the benchmarks' own folder

from bench.database.whole import DIFFERING, Whole

from hitless.database.urls import version_url
from hitless.kit.files import write_atomic

OLD, NEW = "0001_items", "0002_split_name"
VICTIMS = ("controller", "postgres", "connections")
PHASES = ("before", "intent", "effect", "done")
PAUSES_S = (0.1, 2.0)  # between two kills
PATIENCE_S = 60.0


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--kills", type=int, default=50)
    options.add_argument("--rows", type=int, default=300_000)
    options.add_argument("--seed", type=int, default=1)
    asked = options.parse_args()
    with Whole.up(asked.rows, 1.0) as bench:
        return Kills(bench, random.Random(asked.seed)).measure(asked.kills)


class Writer(threading.Thread):
    """Writes names through one schema version, as long as it is there; knows what was acknowledged last."""

    def __init__(self, bench: Whole, version: str, remainder: int) -> None:
        super().__init__(daemon=True)
        self.url, self.rows, self.version, self.remainder = (
            version_url(bench.url, version),
            bench.rows,
            version,
            remainder,
        )
        self.acknowledged: dict[int, str] = {}
        self.over = False

    def run(self) -> None:
        number = 0
        while not self.over:
            try:
                with psycopg.connect(self.url, autocommit=True) as connection:
                    while not self.over:
                        number += 1
                        self.write(connection, number)
                        time.sleep(0.01)
            except psycopg.Error:  # killed, or the version is not there
                time.sleep(0.1)

    def write(self, connection: psycopg.Connection, number: int) -> None:
        row, last = 1 + self.remainder + 2 * random.randrange(self.rows // 2), f"{self.version[:4]}-{number}"
        self.acknowledged.pop(row, None)  # nobody knows, until it is acknowledged
        if self.version == OLD:
            connection.execute("UPDATE items SET name = %s WHERE id = %s", (f"Changed {last}", row))
        else:
            connection.execute("UPDATE items SET first_name = 'Changed', last_name = %s WHERE id = %s", (last, row))
        self.acknowledged[row] = f"Changed {last}"


class Kills:
    """One system whose schema is changed to and fro."""

    def __init__(self, bench: Whole, chance: random.Random) -> None:
        self.bench, self.chance = bench, chance
        self.killed: Counter[str] = Counter()
        self.harm: list[str] = []
        self.writers = (Writer(bench, OLD, 0), Writer(bench, NEW, 1))

    def measure(self, kills: int) -> int:
        self.bench.fill()
        self.bench.written("split", services={})
        for writer in self.writers:
            writer.start()
        runs = 0
        while self.killed.total() < kills and not self.harm:
            runs += 1
            run = self.struck(["apply", str(self.bench.stage.file.parent / "changes" / "split.yaml")], "completed")
            self.whole(f"after run {run}")
            self.struck(["rollback", run], "rolled-back")
            self.truth(f"after {run} was taken back")
        print(f"{self.killed.total()} kills in {runs} runs to and fro: {dict(self.killed)}", flush=True)
        boundaries = self.boundaries() if not self.harm else 0
        print(f"{boundaries} kills of the controller, one at each boundary: apply, rollback, apply, contract")
        for harm in self.harm:
            print(f"HARM {harm}", file=sys.stderr)
        return 1 if self.harm else 0

    def struck(self, words: list[str], end: str) -> str:
        """Carry a command out while something is killed now and then; returns the run."""
        ended: list[object] = []
        working = threading.Thread(target=lambda: ended.append(self.followed(words, end)), daemon=True)
        began = time.monotonic()
        working.start()
        struck: list[str] = []
        while working.is_alive():
            working.join(self.chance.uniform(*PAUSES_S))
            if working.is_alive() and len(struck) < 5:
                struck.append(victim := self.chance.choice(VICTIMS))
                self.strike(victim)
        working.join()
        self.killed.update(struck)
        print(f"  {words[0]:<8} {end} after {time.monotonic() - began:.0f} s, killed: {', '.join(struck)}", flush=True)
        return str(ended[0])

    def followed(self, words: list[str], end: str) -> str:
        """Run a command, come back to its run when it lost it, and return the run once it has ended."""
        stage = self.bench.stage
        before = len(stage.hitless("runs"))
        try:
            stage.hitless(*words)
        except Exception as failure:  # noqa: BLE001  the run tells whether that was right
            self.note(f"{words[0]}: {failure}")
        deadline = time.monotonic() + PATIENCE_S
        while True:
            runs = stage.hitless("runs")
            run = words[1] if words[0] != "apply" else runs[0]["run"] if len(runs) > before else ""
            state = next((each["state"] for each in runs if each["run"] == run), "")
            if state == end:
                return str(run)
            if time.monotonic() > deadline:
                self.harm.append(f"{words[0]} {run} is {state or 'nothing'} and not {end}")
                return str(run)
            time.sleep(0.2)

    def note(self, text: str) -> None:
        print(f"  note: {text[:300]}", flush=True)

    def strike(self, victim: str) -> None:
        if victim != "connections":
            with suppress(ProcessLookupError):  # it has just ended, because another one was killed
                self.bench.stage.kill(victim)
            return
        with suppress(psycopg.OperationalError), self.connection() as connection:  # it may be going down just now
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'hitless'"
            )

    def connection(self) -> psycopg.Connection:
        """Connect to a server that may be starting just now."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return psycopg.connect(self.bench.url, autocommit=True, application_name="hitless flags")
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def whole(self, when: str) -> None:
        """Both versions show the same rows, those that were acknowledged, and each was filled once."""
        self.connection().close()
        if differing := self.bench.ask(DIFFERING):
            self.harm.append(f"{when}: {differing} rows differ between the versions")
        counted = self.bench.ask("SELECT rows FROM hitless.checkpoint WHERE base = 'items'")
        if counted != self.bench.rows:
            self.harm.append(f"{when}: {counted} rows were filled, of {self.bench.rows}")
        self.truth(when)

    def truth(self, when: str) -> None:
        """What was acknowledged is there; writers go on meanwhile, so a row is looked at while nobody writes it."""
        for writer in self.writers:
            known = dict(writer.acknowledged)
            sql = "SELECT id, name FROM hitless_0001_items.items WHERE id = ANY(%s)"
            with self.connection() as connection:
                rows = dict(connection.execute(sql, (list(known),)).fetchall())
            wrong = [row for row, name in known.items() if rows[row] != name and writer.acknowledged.get(row) == name]
            if wrong:
                self.harm.append(f"{when}: rows {wrong[:5]} are not as {writer.version} has written them")

    def boundaries(self) -> int:
        """Kill the controller at each boundary of each step; returns how often."""
        change, stage = str(self.bench.stage.file.parent / "changes" / "split.yaml"), self.bench.stage
        steps = stage.hitless("plan", change)["steps"]
        gate = next(each["position"] for each in steps if each["describe"].startswith("verify again"))
        forward = [f"{position}:{phase}" for position in range(gate) for phase in PHASES]
        run = self.crashed(["apply", change], forward)
        self.whole("after kills at each boundary")
        back = [each["position"] for each in reversed(steps[:gate]) if each["inverse"]]
        backward = [f"{position}:undo-{phase}" for position in back for phase in PHASES]
        self.crashed(["rollback", run], backward)
        self.truth("after kills at each boundary of the way back")
        stage.hitless("apply", change)
        for writer in self.writers:  # contract waits for the sessions of the old version
            writer.over = True
        for writer in self.writers:
            writer.join(10)
        moved = {"restart": True, "schema": NEW, "bake": "200ms", "evidence": "none"}
        stage.hitless("apply", self.bench.written("move", database={}, services={"items": moved}))
        over = [f"{position}:{phase}" for position in range(gate, len(steps)) for phase in PHASES]
        run = stage.hitless("runs")[1]["run"]
        self.crashed(["contract", run, "--yes"], over)
        if stage.hitless("show", run)["open"] is not None:
            self.harm.append(f"contract of {run} is still open")
        wrong = self.bench.ask("SELECT count(*) FROM items WHERE first_name IS NULL OR last_name IS NULL")
        if wrong:
            self.harm.append(f"{wrong} rows have no name after contract")
        return len(forward) + len(backward) + len(over)

    def crashed(self, words: list[str], wishes: list[str]) -> str:
        """Let the controller die at one named place after the other while a command goes on."""
        point, ended = self.bench.stage.state / "run" / "crash-at", list[str]()
        end = "rolled-back" if words[0] == "rollback" else "completed"
        write_atomic(point, wishes[0])
        working = threading.Thread(target=lambda: ended.append(self.followed(words, end)), daemon=True)
        working.start()
        for wish in wishes:
            write_atomic(point, wish)
            deadline = time.monotonic() + PATIENCE_S
            while point.exists() and time.monotonic() < deadline and working.is_alive():
                time.sleep(0.005)
            if point.exists():
                self.harm.append(f"{words[0]}: nobody came to {wish}")
                point.unlink()
                break
        working.join()
        return ended[0]


if __name__ == "__main__":
    sys.exit(main())
