"""OFREP 0.3: from a request to an answer. Pure. Source: OpenFeature protocol, openapi.yaml."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hitless.flags.evaluation import Evaluation
from hitless.flags.flagset import FlagSet

EVENTS = "/ofrep/v1/events"
INACTIVITY_S = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An HTTP answer."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def single(flags: FlagSet, key: str, body: bytes, extra: Mapping[str, str]) -> Answer:
    """Answer the evaluation of one flag."""
    context = _context(body)
    if isinstance(context, str):
        return _json({"key": key, "errorCode": _code(context), "errorDetails": context}, 400)
    answer = flags.evaluate(key, {**context, **extra})
    if answer.error_code is None:
        return Answer(body=_encode(_written(answer)))
    return _json(_written(answer), 404 if answer.error_code == "FLAG_NOT_FOUND" else 400)


def bulk(flags: FlagSet, body: bytes, extra: Mapping[str, str], known_etag: str, stream: str) -> Answer:
    """Answer the evaluation of all flags; 304 if the client has these answers. `stream`: where changes are told."""
    context = _context(body)
    if isinstance(context, str):
        return _json({"errorCode": _code(context), "errorDetails": context}, 400)
    content = {
        "flags": [_written(flags.evaluate(key, {**context, **extra})) for key in flags.keys],
        "metadata": dict(flags.metadata),
    }
    etag = f'"{hashlib.sha256(_encode(content)).hexdigest()[:32]}"'
    if etag in {each.strip().removeprefix("W/") for each in known_etag.split(",")}:
        return Answer(status=304, headers={"etag": etag})
    where = {"url": stream} if "://" in stream else {"endpoint": {"requestUri": stream}}
    streams = [{"type": "sse", "inactivityDelaySec": INACTIVITY_S, **where}]
    return Answer(body=_encode(content | {"eventStreams": streams}), headers={"etag": etag})


def event(version: str, changed_at: float) -> bytes:
    """Write the event that tells a client to fetch again."""
    said = {"type": "refetchEvaluation", "etag": version, "lastModified": int(changed_at)}
    return b"id: " + version.encode() + b"\nevent: message\ndata: " + _encode(said) + b"\n\n"


def _written(answer: Evaluation) -> dict[str, Any]:
    if answer.error_code is not None:
        return {"key": answer.key, "errorCode": answer.error_code, "errorDetails": answer.error}
    written = {"key": answer.key, "reason": answer.reason, "variant": answer.variant, "metadata": dict(answer.metadata)}
    if answer.variant is not None:  # without it the client's own default counts, and null would be a value
        written["value"] = answer.value
    return written


def _context(body: bytes) -> dict[str, Any] | str:
    """Return the context, or what is wrong with the request."""
    try:
        request = json.loads(body) if body else {}
    except (ValueError, RecursionError) as error:
        return f"the body is no JSON: {error}"
    if not isinstance(request, dict):
        return "the body is no JSON object"
    context = request.get("context")
    if context is not None and not isinstance(context, dict):
        return "context is no object"
    return context or {}


def _code(problem: str) -> str:
    return "INVALID_CONTEXT" if problem.startswith("context") else "PARSE_ERROR"


_encode_text = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def _encode(content: Any) -> bytes:
    return _encode_text(content).encode("utf-8", "replace")


def _json(content: Any, status: int) -> Answer:
    return Answer(status=status, body=_encode(content))
