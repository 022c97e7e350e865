"""The guard of latency: whole histograms of both arms against each other, with an eye on the tail."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hitless.verdict.alternatives import Groups, guesses, weights
from hitless.verdict.errors import checked_limits, checked_names
from hitless.verdict.fine import Fine
from hitless.verdict.guard import PACE, Counts, Setting, Watch
from hitless.verdict.histogram import BUCKETS, STEP, add, dense, quantile_bucket, slower, sparse
from hitless.verdict.mixture import Stake, Starts
from hitless.verdict.ticks import Arm
from hitless.verdict.together import ENOUGH, LONGEST_S

LEARN = 500  # requests of the baseline before the first bet
BATCH_S = 5  # seconds that are weighed together, unless there is plenty
PLENTY = 2_000  # requests that are weighed at once
REBUILD_S = 60  # the guesses follow the baseline at this pace,
GROWN = 1.5  # or sooner, when so many times as many requests are known
KEEP = 0.98  # of the past, at each rebuild
QUANTILES = {"p50": 0.5, "p75": 0.75, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}
FEWER = (0.8, 0.5, 0.25, 0.1)  # as many beyond the limit as at the limit


@dataclass(frozen=True, slots=True)
class Latency:
    """Latencies against the concurrent baseline.

    `worse` is the tolerated factor, `at` the quantile whose slowing matters most ("p50" ... "p999"); `fine_below` asks
    for a promotion once the share of requests slower than the baseline's `at`, times this factor, is shown to be no
    larger than the baseline's own share twice over. Raises ValueError for a limit that cannot be.
    """

    worse: float = 1.0
    at: str = "p99"
    fine_below: float | None = None
    weight: float = 1.0
    on: str = ""
    name: str = "latency"

    def __post_init__(self) -> None:
        checked_limits(self.worse, self.fine_below, self.weight)
        checked_names(self.name, self.on)
        if self.at not in QUANTILES:
            raise ValueError(f"at={self.at!r} is not one of {', '.join(QUANTILES)}")

    def watch(self, setting: Setting) -> "LatencyWatch":
        """Begin to watch."""
        return LatencyWatch(self, setting)

    def described(self) -> dict[str, Any]:
        """Return the arguments that make this guard again."""
        return asdict(self)


class LatencyWatch(Watch):
    """Follows the latencies of both arms.

    Per alternative: log E += h_c . ln(qc/q0) + h_b . ln(qb/q0) with q0 = w qc + (1-w) qb, for ANY guesses made before
    the tick (Turner, Ly & Grunwald 2024; AM-GM: (w E[qc/q0] + (1-w) E[qb/q0])^n = 1 when both arms have one law).
    """

    null = PACE

    def __init__(self, guard: Latency, setting: Setting) -> None:
        self._at, self._tolerated = QUANTILES[guard.at], guard.worse
        self._stake = Stake(weights(), Starts(setting.horizon_s))
        self._allowed = 0 if guard.fine_below is None else math.floor(math.log(guard.fine_below) / STEP)
        self._fine = None if guard.fine_below is None else Fine(1.0, FEWER)
        self._past: list[float] = [0.0] * BUCKETS  # of the baseline
        self._canary, self._baseline = [0] * BUCKETS, [0] * BUCKETS  # of the batch
        self._weighed_at = float(-BATCH_S)
        self._waiting = (0, 0)  # requests of both arms in the batch
        self._built_at = -math.inf
        self._guess: list[float] = []  # the past that the alternatives were made from
        self._groups: Groups | None = None
        self._slow = 0  # the bucket of the watched quantile
        self.counts = Counts()

    @property
    def worse(self) -> float:
        """Evidence that the canary is slower."""
        return self._stake.wealth

    @property
    def fine(self) -> float | None:
        """Evidence that the watched quantile is below its limit."""
        return None if self._fine is None else self._fine.wealth

    def feed(self, canary: Arm, baseline: Arm, elapsed_s: float) -> bool:
        """Take one tick; both arms must say how long their requests took, if they had any."""
        if _untold(canary) or _untold(baseline):
            return False
        ours, theirs = add(self._canary, canary.latency or {}), add(self._baseline, baseline.latency or {})
        if not (ours or theirs):
            return False
        self._waiting = (self._waiting[0] + ours, self._waiting[1] + theirs)
        comparable = all(self._waiting)
        if self._due(sum(self._waiting), elapsed_s - self._weighed_at):
            self._weigh(elapsed_s)
        return comparable

    @staticmethod
    def _due(waiting: int, apart_s: float) -> bool:
        """Tell whether it is time to weigh, which depends on nothing but how many requests there are."""
        return waiting >= PLENTY or (apart_s >= BATCH_S and waiting >= ENOUGH) or apart_s >= LONGEST_S

    def _weigh(self, elapsed_s: float) -> None:
        if self._groups is not None:
            self._bet(self._groups, elapsed_s)
        self._past = [before + many for before, many in zip(self._past, self._baseline, strict=True)]
        self._canary, self._baseline = [0] * BUCKETS, [0] * BUCKETS
        self._weighed_at, self._waiting = elapsed_s, (0, 0)
        known = sum(self._past)
        if known >= LEARN and (elapsed_s - self._built_at >= REBUILD_S or known >= GROWN * sum(self._guess)):
            self._past = [many * KEEP for many in self._past]
            self._guess, self._built_at = self._past, elapsed_s
            self._guess_anew()

    def _guess_anew(self) -> None:
        self._groups = guesses(slower(self._guess, self._tolerated), self._at)
        self._slow = quantile_bucket(self._guess, self._at)

    def _bet(self, groups: Groups, elapsed_s: float) -> None:
        canary, baseline = sum(self._canary), sum(self._baseline)
        if not (canary and baseline):
            return
        slow, against = sum(self._canary[self._slow + 1 :]), sum(self._baseline[self._slow + 1 :])
        self.counts = self.counts.plus(canary, slow, baseline, against)
        if self._fine is not None:
            beyond = sum(self._canary[self._slow + 1 + self._allowed :])
            self._fine.feed(canary, beyond, baseline, against)
        theirs = self._baseline if self._tolerated == 1.0 else slower(self._baseline, self._tolerated)
        self._stake.start(elapsed_s)
        ours, both = _by_group(self._canary, theirs, groups)
        share, log1p, steps = canary / (canary + baseline), math.log1p, []
        for gains, leans in zip(groups.gains, groups.leans, strict=True):
            gain = sum([many * gains[group] for group, many in ours])
            steps.append(gain - sum([many * log1p(share * leans[group]) for group, many in both]))
        self._stake.multiply(steps)

    def state(self) -> dict[str, Any]:
        """Return all that the future depends on."""
        return {
            "past": sparse(self._past),
            "canary": sparse(self._canary),
            "baseline": sparse(self._baseline),
            "weighed": self._weighed_at,
            "waiting": self._waiting,
            "fine": None if self._fine is None else self._fine.x,
            "built": self._built_at,
            "guess": sparse(self._guess),
            "stake": self._stake.state(),
            "counts": list(self.counts),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a state again."""
        self._past = dense(state["past"])
        self._canary, self._baseline = ([int(many) for many in dense(state[name])] for name in ("canary", "baseline"))
        self._weighed_at, self._waiting = state["weighed"], (state["waiting"][0], state["waiting"][1])
        if self._fine is not None:
            self._fine.x = list(state["fine"])
        if state["guess"]:
            self._guess, self._built_at = dense(state["guess"]), state["built"]
            self._guess_anew()
        self._stake.restore(state["stake"])
        self.counts = Counts(*state["counts"])


def _untold(arm: Arm) -> bool:
    """Tell whether requests that were not bad came without their latencies."""
    return not arm.latency and arm.requests > arm.bad


def _by_group(
    canary: Sequence[float], baseline: Sequence[float], groups: Groups
) -> tuple[list[tuple[int, float]], list[tuple[int, float]]]:
    """Return what the canary has, and what both have, in each group."""
    ours, both = [0.0] * len(groups.gains[0]), [0.0] * len(groups.gains[0])
    for group, mine, other in zip(groups.of_bucket, canary, baseline, strict=True):
        ours[group] += mine
        both[group] += mine + other
    return [(g, many) for g, many in enumerate(ours) if many], [(g, many) for g, many in enumerate(both) if many]
