"""Counters and loads that OpenTelemetry exporters send over OTLP. Pure; who listens hands the requests in.

A counter is named `NAME` or `NAME{key=value,key=*}`: the metric, and attributes that a point must have (`*`: any).
Sums count by their value, histograms by their number of observations; cumulative and delta points are both taken.
A gauge is named in the same way, and stands as it is.
"""

import json
import re
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from hitless.signals.metrics import BrokenQuery, Measured, Sample, Samples

SERIES_LIMIT = 10_000  # of all exporters; points of further ones are refused
POINTS_LIMIT = 120  # of one series; the oldest go first
LATE_S = 120.0  # a series whose last point is older than this at a moment is not known then
DELTA = 1  # AggregationTemporality of the protocol
_NAME = re.compile(r"(?P<name>[A-Za-z0-9_./-]{1,255})(?:\{(?P<where>[^{}]{0,1000})\})?")

_KINDS = ("sum", "histogram", "exponentialHistogram", "gauge")


class Point(NamedTuple):
    """One point of one series."""

    series: str
    name: str
    attributes: Mapping[str, str]
    at: float  # seconds since the epoch
    value: float
    delta: bool


class _Series:
    __slots__ = ("attributes", "name", "points", "total")

    def __init__(self, name: str, attributes: Mapping[str, str]) -> None:
        self.name, self.attributes = name, attributes
        self.total = 0.0
        self.points: deque[tuple[float, float]] = deque(maxlen=POINTS_LIMIT)


class OtlpMemory:
    """What exporters have sent of late. Implements `hitless.signals.metrics.Counters`. Bounded."""

    def __init__(self) -> None:
        self._series: dict[str, _Series] = {}

    def take(self, request: Any) -> int:
        """Take an ExportMetricsServiceRequest as JSON has it; returns how many points were refused for want of room.

        Raises ValueError for anything else.
        """
        try:
            return sum(not self._take(point) for point in points(request))
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"this is no OTLP metrics request: {error!r}") from None

    async def sample(self, metric: Measured, expression: str, at: float) -> Samples:
        """Return every series of a counter as it stood at a moment. Raises BrokenQuery for a name that is none."""
        name, where = read_name(expression)
        found = {}
        for key, series in self._series.items():
            if series.name == name and _fits(series.attributes, where):
                value = _value(series, at)
                if value is not None:
                    found[key] = Sample(series.attributes.get(metric.by, ""), value)
        return found

    def _take(self, point: Point) -> bool:
        series = self._series.get(point.series)
        if series is None:
            if len(self._series) >= SERIES_LIMIT:
                return False
            series = self._series[point.series] = _Series(point.name, point.attributes)
        if series.points and point.at <= series.points[-1][0]:  # sent again, or too late
            return True
        series.total = series.total + point.value if point.delta else point.value
        series.points.append((point.at, series.total))
        return True


def read_name(expression: str) -> tuple[str, dict[str, str]]:
    """Read `NAME{key=value}`. Raises BrokenQuery for anything else."""
    match = _NAME.fullmatch(expression.strip())
    if match is None:
        raise BrokenQuery(f"{expression!r} is no counter like http.server.request.duration{{error.type=*}}")
    pairs = [each.partition("=") for each in (match["where"] or "").split(",") if each.strip()]
    return match["name"], {key.strip(): value.strip() for key, _, value in pairs}


def points(plain: Any) -> Iterator[Point]:
    """Yield the points of sums, histograms and gauges; summaries count nothing."""
    for resource in plain.get("resourceMetrics", ()):
        shared = _attributes(resource.get("resource", {}).get("attributes", ()))
        for scope in resource.get("scopeMetrics", ()):
            for metric in scope.get("metrics", ()):
                yield from _points(metric, shared)


def _points(metric: Any, shared: Mapping[str, str]) -> Iterator[Point]:
    data: Any = next((metric[kind] for kind in _KINDS if kind in metric), {})
    delta = data.get("aggregationTemporality") in (DELTA, "AGGREGATION_TEMPORALITY_DELTA")
    for each in data.get("dataPoints", ()):
        if int(each.get("flags", 0)) & 1:  # no recorded value
            continue
        attributes = {**shared, **_attributes(each.get("attributes", ()))}
        value = each.get("asInt", each.get("asDouble", each.get("count", 0)))  # protobuf leaves a count of 0 out
        series = json.dumps([metric["name"], attributes], sort_keys=True)
        at = int(each["timeUnixNano"]) / 1e9
        yield Point(series, str(metric["name"]), attributes, at, float(value), delta)


def _attributes(pairs: Any) -> dict[str, str]:
    return {str(pair["key"]): str(next(iter(pair["value"].values()), "")) for pair in pairs}


def _fits(attributes: Mapping[str, str], where: Mapping[str, str]) -> bool:
    return all(key in attributes and value in ("*", attributes[key]) for key, value in where.items())


def _value(series: _Series, at: float) -> float | None:
    """The last point at or before a moment, unless it is too old to be the truth then."""
    number = bisect_right(series.points, at, key=lambda point: point[0])
    if not number:
        return None
    when, value = series.points[number - 1]
    return value if at - when <= LATE_S else None
