"""Counters from Prometheus, by PromQL over its HTTP API. The one file that talks to it."""

import asyncio
import http.client
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from hitless.signals.metrics import SERIES_LIMIT, BrokenQuery, Measured, Sample, Samples

ANSWER_S = 5.0
ANSWER_LIMIT = 4 << 20  # bytes
SAID_LIMIT = 2000  # bytes of a refusal
REFUSES_QUERY = (400, 422)  # it cannot be parsed; it can, and cannot be evaluated


class Prometheus:
    """Implements `hitless.signals.metrics.Counters`."""

    async def sample(self, metric: Measured, expression: str, at: float) -> Samples:
        """Return every series of an expression at a moment. Raises OSError where it cannot be had, or BrokenQuery."""
        return await asyncio.to_thread(_sample, metric, expression, at)


def _sample(metric: Measured, expression: str, at: float) -> Samples:
    body = _ask(metric, urllib.parse.urlencode({"query": expression, "time": f"{at:.3f}"}))
    try:
        return read_vector(json.loads(body), metric.by)
    except (ValueError, KeyError, TypeError) as error:
        raise OSError(f"Prometheus answers {metric.name} with something else: {error!r}") from None


def _ask(metric: Measured, question: str) -> bytes:
    try:
        with urllib.request.urlopen(f"{_base(metric.url)}/api/v1/query?{question}", timeout=ANSWER_S) as answer:  # noqa: S310  the scheme is checked
            body: bytes = answer.read(ANSWER_LIMIT + 1)
    except urllib.error.HTTPError as error:
        with error:
            raise _refused(metric, error.code, error.read(SAID_LIMIT)) from None
    except urllib.error.URLError as error:
        raise OSError(f"Prometheus does not answer: {_named(error.reason)}") from None
    except (ValueError, http.client.HTTPException) as error:  # their texts hold parts of the URL
        raise OSError(f"Prometheus cannot be asked: {type(error).__name__}") from None
    if len(body) > ANSWER_LIMIT:
        raise OSError(f"Prometheus answers {metric.name} with more than {ANSWER_LIMIT} bytes")
    return body


def _refused(metric: Measured, status: int, body: bytes) -> OSError:
    """Say why; what Prometheus itself says of an expression is told apart from a proxy that lets nobody through."""
    try:
        said = json.loads(body)["error"] if status in REFUSES_QUERY else None
    except (ValueError, KeyError, TypeError):
        said = None
    if isinstance(said, str):
        return BrokenQuery(f"Prometheus refuses {metric.name} ({status}): {said}")
    return OSError(f"Prometheus refuses {metric.name}: {status} {body[:200]!r}")


def _named(reason: object) -> str:
    return (reason.strerror if isinstance(reason, OSError) else None) or type(reason).__name__


def read_vector(plain: Any, by: str) -> Samples:
    """Read an instant vector.

    Raises BrokenQuery for an answer of another kind, and ValueError, KeyError or TypeError for what is no answer.
    """
    if plain["status"] != "success":
        raise ValueError(f"{str(plain)[:200]} is no success")
    if (kind := plain["data"]["resultType"]) != "vector":
        raise BrokenQuery(f"it gives a {kind}, and hitless takes series at a moment (an instant vector)")
    series = plain["data"]["result"]
    if len(series) > SERIES_LIMIT:
        raise ValueError(f"{len(series)} series; {SERIES_LIMIT} is the limit")
    return {
        json.dumps(each["metric"], sort_keys=True): Sample(str(each["metric"].get(by, "")), float(each["value"][1]))
        for each in series
    }


def resolves(url: str) -> bool:
    """Whether there is an http:// or https:// URL: as it stands, or where `env:NAME` says."""
    return _found(url).startswith(("http://", "https://"))


def _base(url: str) -> str:
    """Resolve a reference; the URL may hold a password, so no message says it."""
    if not resolves(url):
        raise OSError(f"{url} is no http:// or https:// URL")
    return _found(url).rstrip("/")


def _found(url: str) -> str:
    return os.environ.get(url.removeprefix("env:"), "") if url.startswith("env:") else url
