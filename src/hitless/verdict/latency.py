"""The guard of latency: whole histograms of both arms against each other, with an eye on the tail."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hitless.verdict.alternatives import Groups, guesses, weights
from hitless.verdict.buckets import EDGES
from hitless.verdict.errors import checked_limits
from hitless.verdict.fine import Fine
from hitless.verdict.guard import Counts, Setting, Watch
from hitless.verdict.mixture import Stake, Starts
from hitless.verdict.ticks import Arm

LEARN = 200  # requests of the baseline before the first bet
BATCH_S = 10  # seconds that are weighed together, unless there is plenty
PLENTY = 2_000  # requests
REBUILD_S = 60  # the guesses follow the baseline at this pace
KEEP = 0.98  # of the past, at each rebuild
QUANTILES = {"p50": 0.5, "p75": 0.75, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}
BUCKETS = len(EDGES) + 1
SLOWER_LESS = (0.8, 0.5, 0.25, 0.1)  # as many beyond the limit as at the limit


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

    def __init__(self, guard: Latency, setting: Setting) -> None:
        self._at = QUANTILES[guard.at]
        self._shift = math.log(guard.worse) / math.log(1.1)  # buckets
        self._stake = Stake(weights(), Starts(setting.horizon_s))
        self._allowed = 0 if guard.fine_below is None else math.floor(math.log(guard.fine_below) / math.log(1.1))
        self._fine = None if guard.fine_below is None else Fine(1.0, SLOWER_LESS)
        self._past = [0.0] * BUCKETS
        self._canary: dict[int, float] = {}  # of the batch
        self._baseline: dict[int, float] = {}
        self._batch_since: float | None = None
        self._waiting = 0  # requests in the batch
        self._built_at = -math.inf
        self._guess: list[float] | None = None  # the past that the guesses were made from
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
        """Take one tick; both arms must say how long their requests took."""
        if not canary.latency or not baseline.latency:
            return False
        if self._batch_since is None:
            self._batch_since = elapsed_s
        _add(self._canary, canary.latency)
        self._shifted(baseline.latency)
        self._waiting += sum(canary.latency.values()) + sum(baseline.latency.values())
        if elapsed_s - self._batch_since + 1 >= BATCH_S or self._waiting >= PLENTY:
            self._weigh(elapsed_s)
        return True

    def _shifted(self, latency: Mapping[int, int]) -> None:
        """Add the baseline's histogram, made slower by what is tolerated."""
        whole = math.floor(self._shift)
        part = self._shift - whole
        for bucket, many in latency.items():
            low = min(bucket + whole, BUCKETS - 1)
            self._baseline[low] = self._baseline.get(low, 0.0) + many * (1.0 - part)
            if part:
                high = min(low + 1, BUCKETS - 1)
                self._baseline[high] = self._baseline.get(high, 0.0) + many * part

    def _weigh(self, elapsed_s: float) -> None:
        if self._groups is not None:
            self._bet(self._groups, elapsed_s)
        for bucket, many in self._baseline.items():
            self._past[bucket] += many
        self._canary, self._baseline, self._batch_since, self._waiting = {}, {}, None, 0
        if sum(self._past) >= LEARN and elapsed_s - self._built_at >= REBUILD_S:
            self._past = [many * KEEP for many in self._past]
            self._guess, self._built_at = list(self._past), elapsed_s
            self._guess_anew()

    def _guess_anew(self) -> None:
        past = self._guess or []
        self._groups = guesses(past, self._at)
        wanted, seen, self._slow = self._at * math.fsum(past), 0.0, 0
        while seen < wanted and self._slow < BUCKETS - 1:
            seen += past[self._slow]
            self._slow += 1

    def _bet(self, groups: Groups, elapsed_s: float) -> None:
        ours, theirs = _by_group(self._canary, groups), _by_group(self._baseline, groups)
        canary, baseline = sum(ours.values()), sum(theirs.values())
        self.counts = Counts(self.counts.canary + round(canary), 0, self.counts.baseline + round(baseline), 0)
        share = canary / (canary + baseline)
        if self._fine is not None:
            beyond, limit = self._beyond, self._slow + self._allowed
            self._fine.feed(
                round(canary), beyond(self._canary, limit), round(baseline), beyond(self._baseline, self._slow)
            )
        self._stake.start(elapsed_s)
        both = {group: ours.get(group, 0.0) + theirs.get(group, 0.0) for group in sorted(ours.keys() | theirs.keys())}
        steps = []
        for ratios in groups.ratios:
            gain = math.fsum(many * math.log(ratios[group]) for group, many in ours.items())
            cost = math.fsum(many * math.log1p(share * (ratios[group] - 1.0)) for group, many in both.items())
            steps.append(gain - cost)
        self._stake.multiply(steps)

    @staticmethod
    def _beyond(histogram: Mapping[int, float], bucket: int) -> int:
        return round(math.fsum(many for index, many in histogram.items() if index > bucket))

    def state(self) -> dict[str, Any]:
        """Return all that the future depends on."""
        return {
            "past": _sparse(self._past),
            "canary": sorted(self._canary.items()),
            "baseline": sorted(self._baseline.items()),
            "since": self._batch_since,
            "waiting": self._waiting,
            "fine": None if self._fine is None else self._fine.x,
            "built": None if self._guess is None else self._built_at,
            "guess": None if self._guess is None else _sparse(self._guess),
            "stake": self._stake.state(),
            "counts": list(self.counts),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a state again."""
        self._past = _dense(state["past"])
        self._canary, self._baseline = dict(state["canary"]), dict(state["baseline"])
        self._batch_since, self._waiting = state["since"], state["waiting"]
        if self._fine is not None:
            self._fine.x = list(state["fine"])
        if state["guess"] is not None:
            self._guess, self._built_at = _dense(state["guess"]), state["built"]
            self._guess_anew()
        self._stake.restore(state["stake"])
        self.counts = Counts(*state["counts"])


def _add(into: dict[int, float], latency: Mapping[int, int]) -> None:
    for bucket, many in latency.items():
        into[bucket] = into.get(bucket, 0.0) + many


def _by_group(histogram: Mapping[int, float], groups: Groups) -> dict[int, float]:
    totals: dict[int, float] = {}
    for bucket in sorted(histogram):
        group = groups.of_bucket[bucket]
        totals[group] = totals.get(group, 0.0) + histogram[bucket]
    return totals


def _sparse(values: list[float]) -> list[tuple[int, float]]:
    return [(index, value) for index, value in enumerate(values) if value]


def _dense(pairs: list[tuple[int, float]]) -> list[float]:
    values = [0.0] * BUCKETS
    for index, value in pairs:
        values[index] = value
    return values
