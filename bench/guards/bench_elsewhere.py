"""How often a healthy version is taken back because one of its users always fails at other services.

    python bench/guards/bench_elsewhere.py [--runs 1500] [--seed 7]

Users who are followed to other services are new there in each test, so one who always failed at `orders` counts once
against the `web` whose canary he is in by chance. The guards of errors of a test of `web`, at `web`, `orders` and
`accounts`, with the part of alpha that is theirs: 100 requests/s at each, 0.1 % bad, share 5 %, two hours.
"""

import argparse
import json
import math
import sys
from collections import Counter

import numpy as np

from hitless.kit.units import Share
from hitless.signals import guards
from hitless.signals.steps import Watch
from hitless.verdict import Arm, Tick, Verdict

RATE, BAD, SPLIT, SECONDS = 100.0, 0.001, 0.05, 7200
PLACES = ("orders", "accounts")
CELLS = {"nobody": (), "at orders": (1,), "at both": (1, 2), "everywhere": (0, 1, 2), "at web": (0,)}
STEP = Watch(
    service="web",
    baseline="a",
    canary="b",
    share=Share(500),
    bake_s=1e6,
    elsewhere=PLACES,
    placebo=False,
    sample_ratio=False,
)


def run(rng: np.random.Generator, fails_at: tuple[int, ...]) -> str | None:
    """Return the guard that takes a healthy version back."""
    watched = guards.against(STEP)
    errors = [guard for guard in watched if guard.name.startswith("errors")]
    part = sum(guard.weight for guard in errors) / sum(guard.weight for guard in watched)
    verdict = Verdict(errors, alpha=STEP.alpha * part, horizon_s=STEP.horizon_s, breaker=False)
    sizes = (RATE * SPLIT, RATE * (1.0 - SPLIT))
    bad = [rng.poisson(size * BAD, (1 + len(PLACES), SECONDS)) for size in sizes]
    for place in fails_at:
        bad[0][place, rng.integers(60)] += 1
    for second in np.nonzero(bad[0].sum(0) + bad[1].sum(0))[0]:
        arms = [
            [Arm(int(max(rng.poisson(size), each[place, second])), int(each[place, second])) for place in range(3)]
            for size, each in zip(sizes, bad, strict=True)
        ]
        there = {f"{guards.AT}{name}": (arms[0][1 + n], arms[1][1 + n]) for n, name in enumerate(PLACES)}
        decision = verdict.feed(Tick(int(second), arms[0][0], arms[1][0], there))
        if decision.kind == "roll back":
            return decision.guard
    return None


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--runs", type=int, default=1500)
    arguments.add_argument("--seed", type=int, default=7)
    given = arguments.parse_args()
    failed = False
    for name, fails_at in CELLS.items():
        rng = np.random.default_rng(given.seed)
        ends = [end for _ in range(given.runs) if (end := run(rng, fails_at)) is not None]
        share = len(ends) / given.runs
        error = math.sqrt(share * (1.0 - share) / given.runs)
        found = {"fails": name, "runs": given.runs, "taken_back": share, "standard_error": round(error, 4)}
        print(json.dumps(found | {"by": Counter(ends)}), flush=True)
        failed |= share - 3.0 * error > 0.01
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
