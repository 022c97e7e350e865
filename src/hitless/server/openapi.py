"""The OpenAPI document of the HTTP API, made from its routes. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.routing import Route

import hitless

TEXT, NUMBER, YES_NO, OBJECT = ({"type": kind} for kind in ("string", "number", "boolean", "object"))
_WHO = {"who": TEXT, "why": TEXT}
_FLAG = {
    "definition": OBJECT,
    "remove": YES_NO,
    "variant": TEXT,
    "killed": YES_NO,
    "stage": TEXT,
    "group": TEXT,
    "cohort": {"enum": ["own", "change"]},
    "owner": TEXT,
    "expires": {"type": "string", "format": "date"},
    "requires": TEXT,
    "needs_schema": TEXT,
    "about": TEXT,
    "at": {"type": "string", "format": "date-time"},
    "wait_s": NUMBER,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What the routes themselves do not say about one operation."""

    summary: str = ""  # empty: the first line of the function's docstring
    body: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()  # keys of the body that may not be left out
    query: Mapping[str, Any] = field(default_factory=dict)


OPERATIONS: Mapping[str, Operation] = {
    "health": Operation(summary="Tell that the controller lives; the one operation without a token."),
    "status": Operation(summary="Return what runs: versions, shares, instances, the run in flight."),
    "up": Operation(summary="Have every service running and reached."),
    "plan": Operation(
        summary="Return what a change would do now.", body={"source": TEXT, "file": TEXT}, needs=("source",)
    ),
    "apply": Operation(
        summary="Begin a run of a change.",
        body={"source": TEXT, "file": TEXT, "hash": TEXT, "approved_by": TEXT},
        needs=("source",),
    ),
    "runs": Operation(summary="List the runs, the newest first."),
    "show": Operation(summary="Return one run."),
    "tell": Operation(summary="Hold, resume, abort, roll back a run, or approve its contract.", body=_WHO),
    "follow": Operation(summary="Follow the journal of a run, one JSON object a line.", query={"after": NUMBER}),
    "import_set": Operation(
        body={"document": TEXT, "bucketing": {"enum": ["v2", "v3"]}, "wait_s": NUMBER, **_WHO}, needs=("document",)
    ),
    "edit_flag": Operation(body={**_FLAG, **_WHO}),
    "evaluate_flag": Operation(body={"context": OBJECT, "evaluator": {"enum": ["ours", "reference"]}}),
    "history": Operation(query={"flag": TEXT, "limit": NUMBER}),
    "stale": Operation(query={"days": NUMBER}),
    "cancel_edit": Operation(body={"who": TEXT}),
}

_PROBLEM = {
    "type": "object",
    "required": ["code", "text", "hint", "exit"],
    "properties": {"code": TEXT, "text": TEXT, "hint": TEXT, "exit": {"type": "integer"}},
}


def openapi(routes: Iterable[Route]) -> dict[str, Any]:
    """Return the document, version 3.1."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        for method in sorted((route.methods or set()) - {"HEAD"}):
            paths.setdefault(route.path, {})[method.lower()] = _operation(route, method)
    return {
        "openapi": "3.1.0",
        "info": {"title": "hitless", "version": hitless.__version__},
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Problem": _PROBLEM},
        },
    }


def _operation(route: Route, method: str) -> dict[str, Any]:
    known = OPERATIONS.get(route.name, Operation())
    said = (route.endpoint.__doc__ or "").strip().split("\n")[0]
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    operation: dict[str, Any] = {
        "operationId": f"{route.name}",
        "summary": known.summary or said,
        "parameters": [
            *({"name": name, "in": "path", "required": True, "schema": TEXT} for name in route.param_convertors),
            *({"name": name, "in": "query", "schema": schema} for name, schema in known.query.items()),
        ],
        "responses": {
            "200": {"description": "Done.", "content": {"application/json": {}}},
            "default": {"description": "It did not work.", "content": problem},
        },
    }
    if method == "POST":
        schema = {"type": "object", "properties": dict(known.body), "required": list(known.needs)}
        operation["requestBody"] = {"content": {"application/json": {"schema": schema}}}
    if route.name == "health":
        operation["security"] = []
    return operation
