"""False alarms of healthy canaries: over a day and a ramp, with users who come in bursts, with one who always fails."""

from collections import Counter
from collections.abc import Iterator

import incumbents
import numpy as np
from engine import run, run_groups
from scoring import CELLS, Bench, Score, rules, share_of, too_many
from streams import Streams, grouped, make, with_bursts, with_chronic

CHRONIC: dict[str, tuple[int, ...]] = {  # seconds in which he counts; none: when hitless counts him
    "counted once": (0,),
    "hitless' pauses": (),
    "1, 2, 4 ... min": (0, 60, 180, 420, 900, 1860, 3780),
}
RAMP = [(0, 0.01), (300, 0.05), (600, 0.25), (900, 0.5)]
CLUSTERED = {"bursts": {"burst_every_s": 120.0}, "one chronic user": {"chronic": True}}


def healthy(bench: Bench) -> Iterator[Score]:
    """Healthy days with a swing, each cell; then a ramp."""
    mine, total, worst = 0, 0, (0.0, "")
    others: Counter[str] = Counter()
    days = few = 0
    for index, (p, rps, split) in enumerate(CELLS):
        found = bench.each(healthy_day, (1, index), bench.runs(40, 4), p, rps, split)
        mine, total = mine + sum(found), total + len(found)
        worst = max(
            worst, (sum(found) / len(found), f"{share_of(sum(found), len(found))} at p={p}, {rps}/s, {split:.0%}")
        )
        few = min(len(found), 12 if rps == 100 else 4)
        days += few
        others.update(name for each in bench.each(others_on_a_day, (1, index), few, p, rps, split) for name in each)
    beside = ", ".join(f"{name} {others[name] / days:.0%}" for name in rules(0.01))
    short = too_many(mine, total, 0.01)
    yield Score("false alarms, healthy, 24 h, +-50 %", share_of(mine, total), "1 %", "1 %", beside, short)
    yield Score("  its worst cell", worst[1])
    ramps = bench.each(healthy_ramp, (2,), bench.runs(200))
    yield Score("  ramp 1-5-25-50 % in an hour", share_of(sum(ramps), len(ramps)), "", "1 %")


def healthy_day(rng: np.random.Generator, p: float, rps: float, split: float) -> bool:
    return run(make(rng, rps=rps, split=split, p=p, amplitude=0.5)) is not None


def others_on_a_day(rng: np.random.Generator, p: float, rps: float, split: float) -> list[str]:
    streams = make(rng, rps=rps, split=split, p=p, amplitude=0.5)
    return [name for name, rule in rules(p).items() if rule(streams) is not None]


def healthy_ramp(rng: np.random.Generator) -> bool:
    return run(make(rng, rps=1000, split=RAMP, p=0.002, seconds=3600, amplitude=0.5)) is not None


def clusters(bench: Bench) -> Iterator[Score]:
    """Bursts and a chronic user, with users and without."""
    found = bench.each(bursts_of_users, (5,), bench.runs(100))
    users, requests = (sum(each) for each in zip(*found, strict=True))
    yield Score(
        "false alarms, bursts at 5 %, users counted",
        share_of(users, len(found)),
        "1 %",
        "1 %",
        f"Lindon-Malek on requests {share_of(requests, len(found))}",
        too_many(users, len(found), 0.01),
    )
    for name, seconds in CHRONIC.items():
        alarms = bench.each(chronic_user, (8,), bench.runs(1000), seconds)  # fewer could not tell 1 % from 4 %
        many, short = share_of(sum(alarms), len(alarms)), too_many(sum(alarms), len(alarms), 0.01)
        yield Score(f"false alarms, one chronic user, {name}", many, "1 %", "1 %", "", short)
    yield from _without_identity(bench)


def _without_identity(bench: Bench) -> Iterator[Score]:
    for name, options in CLUSTERED.items():
        alarms = bench.each(clustered, (6, len(name)), bench.runs(100), options)
        yield Score(f"  the same without identity: {name}, 2 h", share_of(sum(alarms), len(alarms)), "", "1 %")
    for ratio in (2.0, 5.0):
        found = bench.each(worse_without_identity, (7,), bench.runs(12, 3), ratio)
        seen = f"{sum(each is not None for each in found)}/{len(found)}"
        median = np.median([each or 14_400 for each in found])
        yield Score(f"  x{ratio:g} found without identity", f"{seen}, median {median:.0f} s")


def bursts_of_users(rng: np.random.Generator) -> tuple[bool, bool]:
    streams = with_bursts(make(rng, rps=1000, split=0.05, p=0.001), rng, 120)
    return run(streams) is not None, incumbents.lindon_malek()(_requests(streams)) is not None


def chronic_user(rng: np.random.Generator, seconds: tuple[int, ...]) -> bool:
    return run(with_chronic(make(rng, rps=1000, split=0.05, p=0.001, seconds=7200), seconds)) is not None


def clustered(rng: np.random.Generator, options: dict[str, float | bool]) -> bool:
    streams = grouped(rng, rps=500, p=0.001, groups=100, canary_groups=5, seconds=7200, **options)
    return run_groups(streams) is not None


def worse_without_identity(rng: np.random.Generator, ratio: float) -> int | None:
    return run_groups(
        grouped(rng, rps=1000, p=0.001, groups=100, canary_groups=5, seconds=14_400, ratio=ratio, burst_every_s=120)
    )


def _requests(streams: Streams) -> Streams:
    """Return the streams with every bad request in place of the bad users."""
    plain = (streams.canary, streams.canary_bad, streams.baseline, streams.baseline_bad)
    return Streams(*plain, streams.split, streams.canary_bad, streams.baseline_bad)
