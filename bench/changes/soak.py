"""Hours of change: random runs under load, with everything of ours killed at random moments; stops at the first harm.

    python bench/changes/soak.py [--minutes 10] [--seed 1]

After each run: no request failed, it ended completed or rolled back and whole, no process is missing or too many. At
the end every acknowledged order is read back.
"""

import argparse
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # run by its path: the benchmarks' own folder

from bench.changes.shop import Bench, held, kill, randomly, running, until

from hitless.kit.errors import HitlessError

STRATEGIES = ("blue-green", "rolling", "canary")


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--minutes", type=float, default=10.0)
    options.add_argument("--rate", type=float, default=200.0)
    options.add_argument("--seed", type=int, default=1)
    wanted = options.parse_args()
    with running(rate=wanted.rate) as bench:
        bench.stage.load.start()
        harm = soak(bench, wanted.minutes * 60, wanted.seed)
        report = bench.stage.load.stop()
    print(f"{report.total} requests, {report.failed} failed; {held(report)}")
    print(f"{len(report.acknowledged)} orders acknowledged, {len(report.missing or ())} missing")
    if harm:
        print(f"HARM {harm}\n{report.to_text()}", file=sys.stderr)
    return 1 if harm or report.failed or report.missing else 0


def soak(bench: Bench, seconds: float, seed: int) -> str:
    """Change and kill until the time is over; returns what went wrong, or nothing."""
    chance, end, number = randomly(seed), time.monotonic() + seconds, 0
    while time.monotonic() < end:
        number += 1
        service, strategy = chance.choice(["web", "accounts"]), chance.choice(STRATEGIES)
        name = bench.change(**{service: {"to": bench.other(service), "strategy": strategy, "bake": "1s"}})
        ends: list[str] = []
        working = threading.Thread(target=lambda name=name, ends=ends: ends.append(carry_out(bench, name)))
        working.start()
        killed = []
        while working.is_alive():
            time.sleep(chance.uniform(0.3, 3.0))
            if working.is_alive() and chance.random() < 0.5:
                killed.append(victim := chance.choice(["controller", "controller", "recorder", "shim"]))
                strike(bench, victim, chance.random())
        working.join()
        print(f"{number:>4}  {service} by {strategy}: {ends[0]}, killed: {', '.join(killed) or 'nothing'}", flush=True)
        if ends[0] not in ("completed", "rolled-back"):
            return ends[0]
        if too_many := bench.duplicates():
            return f"too many processes: {too_many}"
        if bench.stage.load.report().failed:
            return "a request failed"
    return ""


def carry_out(bench: Bench, name: str) -> str:
    try:
        bench.apply(name)
    except HitlessError as failure:
        return failure.text
    return bench.stage.runs[-1].state


def strike(bench: Bench, victim: str, where: float) -> None:
    if victim != "shim":
        bench.stage.kill(victim)
        return
    import json

    files = sorted((bench.stage.state / "processes").glob("*-*/status.json"))
    file = files[int(where * len(files))]
    shim = json.loads(file.read_text())["shim"]["pid"]
    try:
        kill(shim)
    except ProcessLookupError:
        return  # it had just ended
    until(lambda: not file.exists() or json.loads(file.read_text())["shim"]["pid"] != shim)


if __name__ == "__main__":
    sys.exit(main())
