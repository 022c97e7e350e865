"""Counters from Prometheus, by PromQL over its HTTP API. The one file that talks to it."""

import asyncio
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from hitless.signals.metrics import SERIES_LIMIT, Measured, Sample, Samples

ANSWER_S = 5.0
ANSWER_LIMIT = 4 << 20  # bytes


class Prometheus:
    """Implements `hitless.signals.metrics.Counters`."""

    async def sample(self, metric: Measured, expression: str, at: float) -> Samples:
        """Return every series of an expression at a moment. Raises OSError where it cannot be had."""
        return await asyncio.to_thread(_sample, metric, expression, at)


def _sample(metric: Measured, expression: str, at: float) -> Samples:
    question = urllib.parse.urlencode({"query": expression, "time": f"{at:.3f}"})
    try:
        with urllib.request.urlopen(f"{_base(metric.url)}/api/v1/query?{question}", timeout=ANSWER_S) as answer:  # noqa: S310  the scheme is checked
            body = answer.read(ANSWER_LIMIT + 1)
        if len(body) > ANSWER_LIMIT:
            raise OSError(f"Prometheus answers {metric.name} with more than {ANSWER_LIMIT} bytes")
        return read_vector(json.loads(body), metric.by)
    except urllib.error.HTTPError as error:
        with error:
            raise OSError(f"Prometheus refuses {metric.name}: {error.code} {error.read(200)!r}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise OSError(f"Prometheus answers {metric.name} with something else: {error!r}") from None


def read_vector(plain: Any, by: str) -> Samples:
    """Read an instant vector. Raises ValueError, KeyError or TypeError for anything else."""
    if plain["status"] != "success" or plain["data"]["resultType"] != "vector":
        raise ValueError(f"{str(plain)[:200]} is no instant vector")
    series = plain["data"]["result"]
    if len(series) > SERIES_LIMIT:
        raise ValueError(f"{len(series)} series; {SERIES_LIMIT} is the limit")
    return {
        json.dumps(each["metric"], sort_keys=True): Sample(str(each["metric"].get(by, "")), float(each["value"][1]))
        for each in series
    }


def _base(url: str) -> str:
    """Resolve a reference; the URL may hold a password, so no message says it."""
    found = os.environ.get(url.removeprefix("env:"), "") if url.startswith("env:") else url
    if not found.startswith(("http://", "https://")):
        raise OSError(f"{url} is no http:// or https:// URL")
    return found.rstrip("/")
