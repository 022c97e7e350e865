"""What one tick costs."""

import time
from collections.abc import Iterator

from scoring import Bench, Score
from streams import make

from hitless.verdict import Arm, Errors, Tick, Verdict

SECONDS = 5000


def speed(bench: Bench) -> Iterator[Score]:
    """One whole `feed`, in this process, the best of three."""
    for rps, p in ((100, 0.001), (1000, 0.002), (5000, 0.01)):
        streams = make(bench.rng(13, rps), rps=rps, split=0.05, p=p, seconds=SECONDS)
        columns = (streams.canary, streams.canary_bad, streams.baseline, streams.baseline_bad)
        rows = zip(*(part.tolist() for part in columns), strict=True)
        ticks = [Tick(t, Arm(n, c), Arm(m, b)) for t, (n, c, m, b) in enumerate(rows)]
        one_us = min(_seconds(ticks) for _ in range(3)) / len(ticks) * 1e6
        yield Score(f"one update, {rps}/s, p={p}", f"{one_us:.1f} us", "20 us", "6 us", "", one_us > 20)


def _seconds(ticks: list[Tick]) -> float:
    verdict, began = Verdict([Errors()]), time.process_time()
    for tick in ticks:
        verdict.feed(tick)
    return time.process_time() - began
