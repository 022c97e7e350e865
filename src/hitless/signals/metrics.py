"""Guards on what others measure: from samples to counts of each version, or how full it is. Pure.

A counter may begin again at any time (its process was restarted): then all it shows came since. A series that was not
there before, a value that is no number, more bad than requests: such a window is no evidence, and never zero.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from hitless.signals.ports import ArmCount

Source = Literal["prometheus", "opentelemetry"]

LATE_S = 2  # a look may be so much later than it is due
SERIES_LIMIT = 1000  # of one expression


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What others measure for one guard."""

    name: str
    source: Source
    by: str  # the label whose value is the version
    lag_s: float  # so long after a moment its samples are known
    every_s: float  # length of a window
    url: str = ""  # of Prometheus: http://..., or env:NAME


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric(Measured):
    """Two counters, one of which counts what is bad of the other. They count requests, not users."""

    requests: str  # what the source calls the counter, see docs/guards.md
    bad: str
    worse: float  # tolerated ratio


@dataclass(frozen=True, slots=True, kw_only=True)
class Load(Measured):
    """How full the scarcest resource of each version is, from 0 to 1, and how full is too full for how long."""

    load: str
    limit: float
    for_s: int

    @property
    def full_s(self) -> int:
        """For how long it must be full: at least from one look to the next, though that one comes a little late."""
        return max(self.for_s, math.ceil(self.every_s) + LATE_S)


class Sample(NamedTuple):
    """One series at one moment."""

    version: str
    value: float


Samples = Mapping[str, Sample]  # by the name of the series


class BrokenQuery(OSError):
    """A source answers, and takes an expression for nothing that it could ever answer; the text is its reason."""


class Counters(Protocol):
    """Somebody who measures."""

    async def sample(self, metric: Measured, expression: str, at: float) -> Samples:
        """Return every series of an expression at a moment, `metric.lag_s` ago or earlier.

        Raises OSError where it cannot be had now, BrokenQuery where asking again would not help.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What both versions counted between two moments; None: that is not known."""

    metric: str
    until: float  # seconds since the epoch
    canary: ArmCount | None = None
    baseline: ArmCount | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Full:
    """How full both versions were at a moment; None: that is not known."""

    metric: str
    until: float  # seconds since the epoch
    canary: float | None = None
    baseline: float | None = None


def full(load: Load, at: float, samples: Samples, versions: tuple[str, str]) -> Full:
    """Return how full the fullest series of the canary and of the baseline (`versions`, in this order) is."""
    fullest = [
        max((each.value for each in samples.values() if each.version == version and _is_load(each.value)), default=None)
        for version in versions
    ]
    return Full(metric=load.name, until=at, canary=fullest[0], baseline=fullest[1])


def _is_load(value: float) -> bool:
    return math.isfinite(value) and value >= 0.0


class Shown(NamedTuple):
    """Both counters of a metric at one moment."""

    requests: Samples
    bad: Samples


def window(metric: Metric, until: float, shown: tuple[Shown, Shown], versions: tuple[str, str]) -> Window:
    """Return what the canary and the baseline (`versions`, in this order) counted between two moments."""
    before, after = shown
    arms = [_arm(before, after, version) for version in versions]
    return Window(metric=metric.name, until=until, canary=arms[0], baseline=arms[1])


def _arm(before: Shown, after: Shown, version: str) -> ArmCount | None:
    requests = increase(before.requests, after.requests, version)
    if requests is None:
        return None
    if _begins(before.requests, after.requests, version) and _begins(before.bad, after.bad, version):
        return None  # of a process that is new only what is bad would count
    never_bad = not any(sample.version == version for sample in (*before.bad.values(), *after.bad.values()))
    bad = 0 if never_bad else increase(before.bad, after.bad, version, new_from_zero=True)
    if bad is None or bad > requests:
        return None
    return ArmCount(requests=requests, failed=bad, users=requests, bad_users=bad)


def _begins(before: Samples, after: Samples, version: str) -> bool:
    """Whether a version has a series that was not there before."""
    return any(sample.version == version and name not in before for name, sample in after.items())


def increase(before: Samples, after: Samples, version: str, *, new_from_zero: bool = False) -> int | None:
    """Return by how much the counters of a version rose; None where that is not known.

    `new_from_zero`: a series that was not there before counts from zero, as a counter of failures is made by the first.
    """
    total, known = 0.0, False
    for name, sample in after.items():
        if sample.version != version:
            continue
        if not math.isfinite(sample.value) or sample.value < 0:
            return None
        earlier = before.get(name, Sample(version, 0.0) if new_from_zero else None)
        if earlier is None:  # it begins within this window: known from the next one on
            continue
        if not math.isfinite(earlier.value):
            return None
        known = True
        total += sample.value - earlier.value if sample.value >= earlier.value else sample.value
    return round(total) if known else None
