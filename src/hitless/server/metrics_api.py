"""Metrics of OpenTelemetry exporters in the HTTP API: OTLP over HTTP, as protobuf or JSON, plain or gzip."""

import asyncio
import json
import zlib
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hitless.app.controller import Controller
from hitless.kit.errors import InvalidInput
from hitless.signals.otlp_protobuf import read_request, write_response

METRICS_LIMIT = 4_000_000  # bytes of one request, unpacked
PROTOBUF = "application/x-protobuf"
GZIP = 16 + zlib.MAX_WBITS

RawBody = Callable[[Request, int], Awaitable[bytes]]


def metrics_endpoint(controller: Controller, raw_body: RawBody) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint; it answers in the encoding of the request, as the protocol asks."""

    async def metrics(request: Request) -> Response:
        """Take metrics of OpenTelemetry exporters: OTLP over HTTP."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip()
        if kind not in (PROTOBUF, "application/json"):
            hint = "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL=http/protobuf, or http/json"
            raise InvalidInput("not-otlp", f"metrics are taken as protobuf or JSON, not as {kind or 'nothing'}", hint)
        body = _unpacked(await raw_body(request, METRICS_LIMIT), request.headers.get("content-encoding", "identity"))
        read = read_request if kind == PROTOBUF else json.loads
        try:
            plain = await asyncio.to_thread(read, body)  # a large one would hold up all others
        except (ValueError, RecursionError) as error:
            raise InvalidInput("broken-metrics", f"this is no OTLP metrics request: {error}") from None
        refused = controller.take_metrics(plain)
        if kind == PROTOBUF:
            return Response(write_response(refused), media_type=PROTOBUF)
        return JSONResponse({"partialSuccess": {"rejectedDataPoints": str(refused)}} if refused else {})

    return metrics


def _unpacked(body: bytes, encoding: str) -> bytes:
    """Undo gzip, up to the limit: a few packed bytes can be a great many."""
    if encoding in ("", "identity"):
        return body
    if encoding != "gzip":
        raise InvalidInput(
            "unknown-encoding", f"{encoding!r} is no encoding of metrics", "send them plain, or with gzip"
        )
    unpacking = zlib.decompressobj(GZIP)
    try:
        plain = unpacking.decompress(body, METRICS_LIMIT)
    except zlib.error as error:
        raise InvalidInput("broken-metrics", f"this is no gzip: {error}") from None
    if unpacking.eof:
        return plain
    if len(plain) >= METRICS_LIMIT:
        raise InvalidInput("body-too-large", f"metrics may have {METRICS_LIMIT} bytes, unpacked")
    raise InvalidInput("broken-metrics", "this gzip ends too early")
