"""`guards:` of a change file: what is watched while a change goes on. Pure."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from hitless.kit.units import Share, format_duration
from hitless.plan.document import Count, Duration, Label, MetricsUrl, Model, Name, Query, after, before, shown

LONGEST_WARM_UP_S = 3600.0
LONGEST_WITHIN_S = 86_400.0
PERCENTAGE = {"type": "string", "pattern": r"^\d+(?:\.\d{1,2})?%$"}
RATIO = re.compile(r"\d{1,9}(?:\.\d{1,9})?x")
METRICS_LIMIT = 16  # counters of one change
OURS = ("errors", "latency", "crashes", "business", "saturation")  # names of guards that no counter may have


def _ratio(value: object) -> float:
    if not isinstance(value, str) or RATIO.fullmatch(value) is None:
        raise ValueError(f"{value!r} is no ratio like 2x or 1.25x")
    ratio = float(value[:-1])
    if not 1.0 <= ratio <= 1000.0:
        raise ValueError(f"{value} is not from 1x to 1000x")
    return ratio


def _part(value: object) -> float:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no percentage like 1%")  # noqa: TRY004  pydantic wants ValueError
    return Share.parse(value).fraction


def _alpha(value: object) -> float:
    alpha = _part(value)
    if not 0 < alpha <= 0.2:
        raise ValueError(f"{value} is not from 0.01% to 20%")
    return alpha


def _margin(value: object) -> float:
    margin = _part(value)
    if margin > 0.5:
        raise ValueError(f"{value} is more than 50%")
    return margin


def _limit(value: object) -> float:
    limit = _part(value)
    if not limit:
        raise ValueError("0% is always reached")
    return limit


Ratio = Annotated[float, before(_ratio), shown({"type": "string", "pattern": f"^{RATIO.pattern}$"})]


class ErrorsGuard(Model):
    """How much more often users of the new version may meet an error before it counts as worse."""

    worse: Ratio = 1.0
    by: Literal["users", "groups"] = "users"  # groups: where one user of the gateway is not one person

    @after
    def _check(self) -> Self:
        if self.by == "groups" and self.worse != 1.0:
            raise ValueError(f"groups are compared without a tolerance: leave `worse: {self.worse:g}x` out")
        return self


class LatencyGuard(Model):
    """How much slower the new version may be before it counts as worse."""

    worse: Ratio = 1.25
    at: Literal["p50", "p90", "p95", "p99"] = "p99"


class CrashesGuard(Model):
    """How often processes of the new version may end by themselves; fewer ends are compared with the old version's."""

    limit: Count = 2


class Measured(Model):
    """What others measure of one service, by version."""

    source: Literal["prometheus", "opentelemetry"] = "prometheus"
    url: MetricsUrl | None = None  # of Prometheus
    service: Name | None = None  # whose versions are compared; None: the one service of the change
    by: Label = "version"  # the label that names the version
    lag: Duration = 30.0  # so long after a moment its samples are known
    every: Duration = 15.0

    @after
    def _check(self) -> Self:
        if (self.url is None) == (self.source == "prometheus"):
            raise ValueError("prometheus needs a url, and opentelemetry has none: its exporters come to us")
        if not 1 <= self.every <= 600 or self.lag > 600:
            given = f"every: {format_duration(self.every)}, lag: {format_duration(self.lag)}"
            raise ValueError(f"every is from 1s to 10m, and lag at most 10m, not {given}")
        return self


class MetricGuard(Measured):
    """A counter that others measure, and the one of it that counts what is bad. It counts requests."""

    requests: Query
    bad: Query
    worse: Ratio = 1.0


class SaturationGuard(Measured):
    """How full the scarcest resource of the new version may be: at `limit` for so long, and the old one is not."""

    load: Query  # from 0 to 1, see docs/guards.md
    limit: Annotated[float, before(_limit), shown(PERCENTAGE)] = 0.9
    long: Duration = 60.0

    @after
    def _check_long(self) -> Self:
        if not max(self.every, 1) <= self.long <= 3600:
            raise ValueError(f"long is from one `every` to 1h, not {format_duration(self.long)}")
        return self


class BusinessGuard(Model):
    """What some users of a service do, and must not do less: a request that is answered well, within a time."""

    at: Name  # the service that they ask
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    within: Duration = 600.0  # of a user's first request
    margin: Annotated[float, before(_margin), shown(PERCENTAGE)] = 0.02  # the part that may be lost
    service: Name | None = None  # whose versions are compared; None: the one service of the change

    @after
    def _check(self) -> Self:
        if not 1 <= self.within <= LONGEST_WITHIN_S:
            raise ValueError(f"within is from 1s to 1d, not {format_duration(self.within)}")
        return self


class Guards(Model):
    """What is watched while a change goes on."""

    alpha: Annotated[float, before(_alpha), shown(PERCENTAGE)] = (
        0.01  # that a healthy change is taken back, over the whole run
    )
    warm_up: Duration = 0.0  # of new instances; not compared
    errors: ErrorsGuard = ErrorsGuard()
    latency: LatencyGuard = LatencyGuard()
    crashes: CrashesGuard = CrashesGuard()
    business: BusinessGuard | None = None
    saturation: SaturationGuard | None = None
    metrics: Mapping[Name, MetricGuard] = {}
    sample_ratio: bool = False  # whether both versions get the users that they are meant to get
    placebo: bool = True  # whether errors come in clusters

    @after
    def _check(self) -> Self:
        if self.warm_up > LONGEST_WARM_UP_S:
            raise ValueError(f"warm_up is at most 1h, not {format_duration(self.warm_up)}")
        if len(self.metrics) > METRICS_LIMIT:
            raise ValueError(f"{len(self.metrics)} metrics; a change has at most {METRICS_LIMIT}")
        for name in OURS:
            if name in self.metrics:
                raise ValueError(f"metrics.{name}: a guard of ours has this name")
        return self

    def of_services(self) -> dict[str, str | None]:
        """Return the service of each guard that watches a single one, by its key; None where none is named."""
        named = {f"metrics.{name}": metric.service for name, metric in self.metrics.items()}
        alone = {"business": self.business, "saturation": self.saturation}
        return named | {key: guard.service for key, guard in alone.items() if guard is not None}
