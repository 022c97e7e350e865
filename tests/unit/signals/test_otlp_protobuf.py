"""OTLP in protobuf, as exporters send it, says the same as in JSON."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from hitless.signals.metrics import Load
from hitless.signals.otlp import OtlpMemory
from hitless.signals.otlp_protobuf import read_request, write_response

ASKED = Load(name="l", source="opentelemetry", by="service.version", lag_s=1, every_s=1, load="", limit=1.0, for_s=1)
DELTA = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA


def request(*metrics: Metric, version: str = "1.2") -> bytes:
    resource = Resource(attributes=[KeyValue(key="service.version", value=AnyValue(string_value=version))])
    found = ResourceMetrics(resource=resource, scope_metrics=[ScopeMetrics(metrics=metrics)])
    return ExportMetricsServiceRequest(resource_metrics=[found]).SerializeToString()


def shown(name: str, at: float, *bodies: bytes) -> list[tuple[str, float]]:
    memory = OtlpMemory()
    for body in bodies:
        assert memory.take(read_request(body)) == 0
    samples = asyncio.run(memory.sample(ASKED, name, at))
    return [(each.version, each.value) for each in samples.values()]


def point(second: int, **value: float) -> NumberDataPoint:
    return NumberDataPoint(time_unix_nano=second * 10**9, **value)  # type: ignore[arg-type]


def test_sums_histograms_and_gauges_are_read_with_the_version_of_their_resource() -> None:
    body = request(
        Metric(name="n", sum=Sum(data_points=[point(9, as_int=7)], is_monotonic=True)),
        Metric(name="h", histogram=Histogram(data_points=[HistogramDataPoint(time_unix_nano=9 * 10**9, count=5)])),
        Metric(name="none", histogram=Histogram(data_points=[HistogramDataPoint(time_unix_nano=9 * 10**9)])),
        Metric(name="g", gauge=Gauge(data_points=[point(9, as_double=0.75)])),
    )
    found = {name: shown(name, 10.0, body) for name in ("n", "h", "none", "g")}
    assert found == {"n": [("1.2", 7.0)], "h": [("1.2", 5.0)], "none": [("1.2", 0.0)], "g": [("1.2", 0.75)]}


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=20))
def test_deltas_add_up_to_what_was_counted(deltas: list[int]) -> None:
    bodies = [
        request(Metric(name="n", sum=Sum(data_points=[point(at, as_int=each)], aggregation_temporality=DELTA)))
        for at, each in enumerate(deltas, 1)
    ]
    assert shown("n", len(deltas) + 1.0, *bodies) == [("1.2", float(sum(deltas)))]


@given(st.binary(max_size=200))
def test_what_is_no_request_is_refused_or_empty_and_breaks_nothing(body: bytes) -> None:
    try:
        plain = read_request(body)
    except ValueError:
        return
    try:
        OtlpMemory().take(plain)
    except ValueError:
        return


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="no OTLP metrics request"):
        read_request(b"\xff\xff\xff")


@pytest.mark.parametrize("refused", [0, 3])
def test_the_answer_says_how_many_points_were_refused(refused: int) -> None:
    answer = ExportMetricsServiceResponse.FromString(write_response(refused))
    assert answer.partial_success.rejected_data_points == refused
