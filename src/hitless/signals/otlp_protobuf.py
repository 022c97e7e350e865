"""OTLP in protobuf, as exporters send it unless they are told otherwise. The one file that knows its messages."""

from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)


def read_request(body: bytes) -> dict[str, Any]:
    """Return an ExportMetricsServiceRequest as JSON has it. Raises ValueError for anything else."""
    try:
        return MessageToDict(ExportMetricsServiceRequest.FromString(body))
    except (DecodeError, RecursionError) as error:
        raise ValueError(f"this is no OTLP metrics request in protobuf: {error}") from None


def write_response(refused: int) -> bytes:
    """Write an ExportMetricsServiceResponse: how many points were refused."""
    if not refused:
        return ExportMetricsServiceResponse().SerializeToString()
    partial = ExportMetricsPartialSuccess(rejected_data_points=refused)
    return ExportMetricsServiceResponse(partial_success=partial).SerializeToString()
