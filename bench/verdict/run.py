"""VERDICT-1: how often healthy canaries are taken back, and how many users a bad one reaches, with other rules beside.

    python bench/verdict/run.py [--seed 7] [--scale 1.0] [--only power,healthy,...]

Every rule sees the streams one second at a time and never later ones. `--scale` multiplies the number of runs: 1 takes
some twenty minutes on two cores, 0.1 a few, and its figures are then mostly chance. Exit 1 if a must was missed. Needs
numpy.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor

from alarms import clusters, healthy
from exposure import late, power
from latency import latency
from promotion import promotion
from scoring import Bench, Score
from speed import speed

PARTS: dict[str, Callable[[Bench], Iterator[Score]]] = {
    part.__name__: part for part in (speed, power, healthy, late, clusters, promotion, latency)
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--only", default=",".join(PARTS))
    options = parser.parse_args()
    names, cores, began = options.only.split(","), os.cpu_count() or 1, time.monotonic()
    if unknown := [name for name in names if name not in PARTS]:
        parser.error(f"there is no part {unknown[0]!r}; there are: {', '.join(PARTS)}")
    print(f"VERDICT-1, seed {options.seed}, scale {options.scale:g}")
    print(f"{'score':48} {'ours':44} {'must':>6} {'moonshot':>9}  beside")
    short = 0
    with ProcessPoolExecutor(cores) as pool:
        bench = Bench(options.seed, options.scale, pool, cores)
        for name in names:
            for score in PARTS[name](bench):
                short += score.fell_short
                line = f"{score.what:48} {score.ours:44} {score.must:>6} {score.moonshot:>9}  {score.beside}"
                print(line + ("  << MISSED" if score.fell_short else ""), flush=True)
    print(f"{short} musts missed, after {time.monotonic() - began:.0f} s")
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
