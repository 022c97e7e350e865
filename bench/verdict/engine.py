"""hitless.verdict as a rule of the benchmark: it is fed one second at a time."""

from collections.abc import Sequence

import numpy as np
from streams import Streams

from hitless.verdict import Arm, Errors, Exchangeable, Latency, Tick, Verdict


def run(streams: Streams, verdict: Verdict | None = None, *, users: bool = True, stop: str = "roll back") -> int | None:
    """Return the seconds after which it decides as `stop` says, or None."""
    verdict = verdict or Verdict(guards=[Errors(worse=1.0)], alpha=0.01, beta=0.05, horizon_s=86_400)
    bad, against = (
        (streams.canary_users, streams.baseline_users) if users else (streams.canary_bad, streams.baseline_bad)
    )
    feed = verdict.feed
    columns = (streams.canary.tolist(), bad.tolist(), streams.baseline.tolist(), against.tolist())
    for t, (n, c, m, b) in enumerate(zip(*columns, strict=True)):
        kind = feed(Tick(t, Arm(n, c), Arm(m, b))).kind
        if kind == stop:
            return t + 1
        if kind in ("roll back", "promote"):
            return None
    return None


def run_groups(streams: Streams) -> int | None:
    """The same without users: only groups are known."""
    verdict = Verdict(guards=[Exchangeable()], alpha=0.01, breaker=False)
    assert streams.groups is not None
    for t, row in enumerate(streams.groups.tolist()):
        ours = tuple((bad + 1, bad) for bad in row[: streams.canary_groups])
        theirs = tuple((bad + 1, bad) for bad in row[streams.canary_groups :])
        canary = Arm(int(streams.canary[t]), int(streams.canary_bad[t]), parts=ours)
        if (
            verdict.feed(
                Tick(t, canary, Arm(int(streams.baseline[t]), int(streams.baseline_bad[t]), parts=theirs))
            ).kind
            == "roll back"
        ):
            return t + 1
    return None


def run_latency(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray], step: int, at: str = "p99") -> int | None:
    """Histograms of both arms per `step` seconds."""
    verdict = Verdict(guards=[Latency(at=at)], alpha=0.01)
    for index, (h, g) in enumerate(zip(ours, theirs, strict=True)):
        tick = Tick(index * step, Arm(int(h.sum()), 0, _sparse(h)), Arm(int(g.sum()), 0, _sparse(g)))
        if verdict.feed(tick).kind == "roll back":
            return (index + 1) * step
    return None


def _sparse(histogram: np.ndarray) -> dict[int, int]:
    return {int(bucket): int(histogram[bucket]) for bucket in np.flatnonzero(histogram)}
