"""How often a healthy version is taken back because of single users, and whether a common error still shows.

    python bench/guards/bench_users.py [--runs 40] [--hours 2]

Records of users go through the recorder's counter into the comparison of a watch at 5 % share; no clock, no network.
Healthy: nothing special; one user of the new version who always fails; one who fails one request in 25; a user who sends
50 failing requests within a second, another one every two minutes; one who always waits ten times as long, and one who
does so three times in ten. To be found: twice and five times the errors for everybody, a p99 that is half as long again
or three times as long, everything twice as long, and ten times as long for one user in ten.
"""

import argparse
import json
import math
import random
import statistics
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from hitless.kit.units import Share
from hitless.plan.instances import Slot
from hitless.signals.counting import Counter, Observed
from hitless.signals.ending import GoBack
from hitless.signals.steps import Watch
from hitless.signals.watching import Watching

USERS, RATE = 2000, 100
BEGIN = 1_000_000
HEALTHY = ("healthy", "chronic", "now and then", "bursts", "chronic, no other error", "always slow", "slow at times")
MEDIAN_MS, SIGMA = 100.0, 0.6  # latencies are lognormal
P95_MS, P99_MS = (MEDIAN_MS * math.exp(SIGMA * z) for z in (1.645, 2.326))
STEP = Watch(service="orders", baseline="a", canary="b", share=Share(500), bake_s=1e6, horizon_s=86_400.0)


@dataclass(frozen=True)
class Cell:
    """What users meet."""

    name: str
    errors: float = 0.001
    ratio: float = 1.0
    slower: float = 1.0
    p99: float = 1.0
    of_users: int = 1  # one in so many is slower


CELLS = (
    *(Cell(name, errors=0.0 if "no other" in name else 0.001) for name in HEALTHY),
    Cell("x2", ratio=2.0, errors=0.01),
    Cell("x5", ratio=5.0),
    Cell("p99 +50 %", p99=1.5),
    Cell("p99 x3", p99=3.0),
    Cell("all x2", slower=2.0),
    Cell("one in ten x10", slower=10.0, of_users=10),
)


def slot_of(user: str) -> Slot:
    return "b" if zlib.crc32(user.encode()) % 10_000 < 500 else "a"


EXPOSED = next(f"u{n}" for n in range(USERS) if slot_of(f"u{n}") == "b")


def latency_ms(cell: Cell, user: int, slot: Slot, dice: random.Random) -> float:
    """Draw how long a request takes."""
    took_ms = dice.lognormvariate(math.log(MEDIAN_MS), SIGMA)
    if f"u{user}" == EXPOSED and (cell.name == "always slow" or (cell.name == "slow at times" and dice.random() < 0.3)):
        return took_ms * 10
    if slot == "a":
        return took_ms
    if took_ms > P95_MS:  # the tail is stretched so that the 99th percentile moves
        took_ms = P95_MS + (took_ms - P95_MS) * (cell.p99 * P99_MS - P95_MS) / (P99_MS - P95_MS)
    return took_ms * (cell.slower if user % cell.of_users == 0 else 1.0)


def second_of(cell: Cell, second: int, dice: random.Random) -> Iterator[Observed]:
    at_ms = (BEGIN + second) * 1000
    for number in range(RATE):
        user = dice.randrange(USERS)
        slot = slot_of(f"u{user}")
        bad = dice.random() < cell.errors * (cell.ratio if slot == "b" else 1.0)
        yield Observed(at_ms + number * 9, "orders", slot, f"u{user}", bad, latency_ms(cell, user, slot, dice))
    if cell.name.startswith("chronic"):
        yield Observed(at_ms + 500, "orders", "b", EXPOSED, True, 10.0)
    if cell.name == "now and then":
        yield Observed(at_ms + 500, "orders", "b", EXPOSED, second % 25 == 0, 10.0)
    if cell.name == "bursts" and second % 120 == 0:
        user = f"u{dice.randrange(USERS)}"
        yield from (Observed(at_ms + 10 * n, "orders", slot_of(user), user, True, 10.0) for n in range(50))


def run(cell: Cell, seed: int, seconds: int) -> int | None:
    """Return the second in which the version is taken back."""
    dice = random.Random(f"{cell.name} {seed}")
    counter, watching = Counter(BEGIN * 1000), Watching(STEP, float(BEGIN + 1))
    for second in range(seconds):
        counter.count(second_of(cell, second, dice))
        for closed in counter.close((BEGIN + second + 2) * 1000):
            watching.count(closed)
        if watching.comparison.is_worse:
            assert isinstance(watching.decide(BEGIN + second + 2.0), GoBack)
            return second
    return None


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--runs", type=int, default=40)
    arguments.add_argument("--hours", type=float, default=2.0)
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()
    failed = False
    for cell in CELLS:
        ends = [run(cell, given.seed + n, round(given.hours * 3600)) for n in range(given.runs)]
        found = [end for end in ends if end is not None]
        print(
            json.dumps(
                {
                    "cell": cell.name,
                    "runs": given.runs,
                    "taken_back": len(found),
                    "median_s": statistics.median(found) if found else None,
                }
            ),
            flush=True,
        )
        failed |= len(found) > 0.01 * given.runs + 1 if cell.name in HEALTHY else len(found) < given.runs
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
