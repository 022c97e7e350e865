"""How many requests of users a worse canary costs, beside the test that knows the ratio, and how late it is seen."""

import math
from collections.abc import Iterator

import incumbents
import numpy as np
from engine import run
from scoring import CELLS, Bench, Score, rules
from streams import DAY_S, kl_conditional, make

RATIOS = (1.5, 2.0, 5.0, 20.0)
STEP_S = 3  # cells in which the oracle needs less are decided by the length of a second
SEEN_LATE_S = 3600  # for which a late regression is watched


def power(bench: Bench) -> Iterator[Score]:
    """Exposed requests in each cell, and the cells that were missed."""
    ours: list[float] = []
    others: list[float] = []
    missed: dict[str, int] = dict.fromkeys(("hitless", *rules(0.01)), 0)
    worst, cells = (0.0, ""), [(*cell, ratio) for cell in CELLS for ratio in RATIOS]
    for index, (p, rps, split, ratio) in enumerate(cells):
        bound_s = math.log(100) / kl_conditional(ratio, p, split) / (rps * split)
        seconds = int(min(DAY_S, max(7200, 60 * math.ceil(12 * bound_s / 60))))
        cell = (p, rps, split, ratio, seconds)
        found = bench.each(exposed, (3, index), bench.runs(300, 8), *cell)
        missed["hitless"] += sum(not each[0] for each in found) * 2 > len(found)
        seen = bench.each(seen_by_others, (3, index), 4, *cell)
        for name in rules(p):
            missed[name] += sum(name in each for each in seen) * 2 < len(seen)
        if bound_s >= STEP_S:
            mine, lindon, best = (sum(each[part] for each in found) for part in (1, 2, 3))
            ours.append(mine / best)
            others.append(lindon / best)
            worst = max(worst, (ours[-1], f"{ours[-1]:.2f} at p={p}, {rps}/s, {split:.0%}, x{ratio:g}"))
    mean, beside = _mean(ours), f"Lindon-Malek {_mean(others):.2f}, worst {max(others):.2f}"
    yield Score("exposed requests / oracle: geometric mean", f"{mean:.3f}", "1.35", "1.10", beside, mean > 1.35)
    yield Score(f"  its worst cell, of {len(ours)}", worst[1], "1.6", "1.20", "", worst[0] > 1.6)
    beside = ", ".join(f"{name} {count}" for name, count in missed.items() if name != "hitless")
    yield Score(f"missed, of {len(cells)} cells", str(missed["hitless"]), "0", "0", beside, missed["hitless"] > 0)


def exposed(
    rng: np.random.Generator, p: float, rps: float, split: float, ratio: float, seconds: int
) -> tuple[bool, int, int, int]:
    """Return whether it was found, and the requests exposed by hitless, by Lindon-Malek and by the oracle."""
    streams = make(rng, rps=rps, split=split, p=p, ratio=ratio, seconds=seconds)
    found = run(streams)
    lindon, oracle = incumbents.lindon_malek()(streams), incumbents.oracle(ratio)(streams)
    return found is not None, streams.exposed(found), streams.exposed(lindon), streams.exposed(oracle)


def seen_by_others(
    rng: np.random.Generator, p: float, rps: float, split: float, ratio: float, seconds: int
) -> list[str]:
    streams = make(rng, rps=rps, split=split, p=p, ratio=ratio, seconds=seconds)
    return [name for name, rule in rules(p).items() if rule(streams) is not None]


def late(bench: Bench) -> Iterator[Score]:
    """Regressions that begin after hours."""
    for onset in (1800, 14_400):
        for ratio in (2.0, 5.0):
            found = bench.each(delays, (4, onset, int(ratio)), bench.runs(300, 5), onset, ratio)
            ours, best = zip(*(each for each in found if each is not None), strict=True)
            quotient = np.median(ours) / np.median(best)
            yield Score(
                f"late by {onset // 60} min, x{ratio:g}: delay / oracle",
                f"{np.median(ours):.0f}/{np.median(best):.0f} s = {quotient:.1f}x (means {np.mean(ours) / np.mean(best):.1f}x)",
                "5x",
                "2.5x",
                fell_short=bool(quotient > 5),
            )


def delays(rng: np.random.Generator, onset: int, ratio: float) -> tuple[int, int] | None:
    """Return the seconds from the onset to both decisions; None for an alarm before it."""
    streams = make(rng, rps=1000, split=0.05, p=0.002, ratio=ratio, onset=onset, seconds=onset + SEEN_LATE_S)
    found = run(streams)
    if found is not None and found <= onset:
        return None
    best = incumbents.oracle(ratio)(streams.since(onset))
    return (found or onset + SEEN_LATE_S) - onset, best or SEEN_LATE_S


def _mean(quotients: list[float]) -> float:
    return math.exp(float(np.mean(np.log(quotients))))
