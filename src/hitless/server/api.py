"""The HTTP API of the controller: JSON in, JSON out, errors as problem+json, the journal as a live stream."""

import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from hitless.app.controller import Controller
from hitless.kit.errors import Abandon, Exit, HitlessError, InvalidInput, NotAllowed
from hitless.server.flags_api import FlagsApi
from hitless.server.metrics_api import metrics_endpoint
from hitless.server.openapi import openapi

BODY_LIMIT = 1_000_000  # bytes
STATUS = {Exit.USAGE: 400, Exit.REFUSED: 409, Exit.NOT_ALLOWED: 403}

Answer = Callable[[Controller, Request], Awaitable[Any]]


def build(controller: Controller, token: str) -> Starlette:
    """Wire the routes; every one but /v1/health wants the token."""
    routes = [
        Route("/v1/health", _plain(controller, _health)),
        Route("/v1/status", _plain(controller, _status)),
        Route("/v1/up", _plain(controller, _up), methods=["POST"]),
        Route("/v1/plan", _plain(controller, _plan), methods=["POST"]),
        Route("/v1/apply", _plain(controller, _apply), methods=["POST"]),
        Route("/v1/audit", _plain(controller, _audit)),
        Route("/v1/metrics", metrics_endpoint(controller, _raw_body), methods=["POST"]),
        Route("/v1/runs", _plain(controller, _runs)),
        Route("/v1/runs/{run}", _plain(controller, _show)),
        Route("/v1/runs/{run}/journal", _follow(controller)),
        Route("/v1/runs/{run}/report", _plain(controller, _report)),
        Route("/v1/runs/{run}/{verb}", _plain(controller, _tell), methods=["POST"]),
    ]
    routes += FlagsApi(lambda answer: _plain(controller, answer), _body, BODY_LIMIT).routes()
    routes.append(Route("/v1/openapi.json", _document(routes)))
    handlers: dict[Any, Any] = {HitlessError: _problem}
    return Starlette(routes=routes, exception_handlers=handlers, middleware=[Middleware(TokenGate, token=token)])


class TokenGate:
    """Lets nobody in without the token of the state folder."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403 to a request without the token."""
        if scope["type"] == "http" and scope["path"] != "/v1/health":
            given = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
            if not hmac.compare_digest(given, f"Bearer {self._token}"):
                error = NotAllowed("no-token", "this API wants a token", "it lies in the state folder: run/token")
                await _answer(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _plain(controller: Controller, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return JSONResponse(await answer(controller, request))

    endpoint.__name__, endpoint.__doc__ = answer.__name__.lstrip("_"), answer.__doc__
    return endpoint


def _document(routes: list[Route]) -> Callable[[Request], Awaitable[Response]]:
    document = openapi(routes)

    async def endpoint(_: Request) -> Response:
        return JSONResponse(document)

    return endpoint


async def _problem(_: Request, error: Exception) -> Response:
    if not isinstance(error, HitlessError):
        raise error
    return _answer(error)


def _answer(error: HitlessError) -> Response:
    problem = {"code": error.code, "text": error.text, "hint": error.hint, "exit": int(error.exit)}
    return JSONResponse(problem, _http_status(error), media_type="application/problem+json")


def _http_status(error: HitlessError) -> int:
    """A controller that must go leaves the question to the next one: 503, ask again."""
    return 503 if isinstance(error, Abandon) else STATUS.get(error.exit, 500)


async def _raw_body(request: Request, limit: int) -> bytes:
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > limit:
            raise InvalidInput("body-too-large", f"a request may have {limit} bytes")
    return bytes(raw)


async def _body(request: Request, limit: int = BODY_LIMIT) -> dict[str, Any]:
    raw = await _raw_body(request, limit)
    try:
        content = json.loads(raw or b"{}")
    except ValueError as error:
        raise InvalidInput("broken-json", f"the request is no JSON: {error}") from None
    if not isinstance(content, dict):
        raise InvalidInput("broken-json", "the request is no JSON object")
    return content


async def _health(controller: Controller, _: Request) -> Any:
    return {"alive": True, "epoch": controller.epoch}


async def _status(controller: Controller, _: Request) -> Any:
    return await controller.status()


async def _up(controller: Controller, _: Request) -> Any:
    return await controller.bring_up()


async def _plan(controller: Controller, request: Request) -> Any:
    body = await _body(request)
    plan = await controller.plan(_text(body, "source"), file=str(body.get("file", "change")))
    runs = body.get("simulate")
    if runs is None:
        return plan.to_json()
    if type(runs) is not int:
        raise InvalidInput("wrong-type", f"simulate={runs!r} is no number of runs")
    return plan.to_json() | {"simulated": await controller.simulate(plan, runs)}


async def _apply(controller: Controller, request: Request) -> Any:
    body = await _body(request)
    expected = body.get("hash")
    run = await controller.apply(
        _text(body, "source"),
        file=str(body.get("file", "change")),
        expected_hash=str(expected) if expected else None,
        approved_by=str(body["approved_by"]) if body.get("approved_by") else None,
        crash_at=body.get("crash_at"),
        key=str(body["key"])[:100] if body.get("key") else None,
        who=_who(body),
    )
    return {"run": run}


def _who(body: dict[str, Any]) -> str:
    """Name who asks, as the command line of that person's machine knows him."""
    return str(body.get("who") or "a person at the command line")[:200]


async def _audit(controller: Controller, request: Request) -> Any:
    return await controller.audit(request.query_params.get("expect", ""))


async def _runs(controller: Controller, _: Request) -> Any:
    return await controller.runs()


async def _show(controller: Controller, request: Request) -> Any:
    return await controller.show(request.path_params["run"])


async def _report(controller: Controller, request: Request) -> Any:
    return await controller.account(request.path_params["run"])


async def _tell(controller: Controller, request: Request) -> Any:
    body = await _body(request)
    run, why = request.path_params["run"], str(body.get("why") or "asked for by a person")
    if request.path_params["verb"] in ("hold", "resume", "abort", "rollback", "contract"):
        await controller.asked(run, request.path_params["verb"], _who(body))
    after = await controller.position(run)  # what comes of it stands in the journal behind this
    match request.path_params["verb"]:
        case "hold":
            await controller.hold(run, why)
        case "settle":
            return {"run": run, "settled": await controller.settle(run)}
        case "resume":
            await controller.resume(run)
        case "abort":
            await controller.abort(run, why)
        case "rollback":
            await controller.rollback(run, why, _count(body, "accept_loss"))
        case "contract":
            await controller.contracts.approve(run, _who(body), _count(body, "accept_loss"))
        case verb:
            raise InvalidInput("unknown-verb", f"{verb!r} is nothing that a run can be told")
    return {"run": run, "after": after}


def _count(body: dict[str, Any], key: str) -> int:
    value = body.get(key, 0)
    if not isinstance(value, int) or value < 0:
        raise InvalidInput("wrong-type", f"{key} must be a number of rows, not {value!r}")
    return value


def _text(body: dict[str, Any], key: str) -> str:
    if not isinstance(body.get(key), str):
        raise InvalidInput("missing-key", f"the request needs {key!r} as a text")
    return str(body[key])


def _follow(controller: Controller) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        run, after = request.path_params["run"], request.query_params.get("after", "0")
        if not after.isdecimal():
            raise InvalidInput("wrong-type", f"after={after!r} is no position in the journal")
        await controller.show(run)  # an unknown run is an error, not an empty stream
        return StreamingResponse(_lines(controller, run, int(after)), media_type="application/x-ndjson")

    return endpoint


async def _lines(controller: Controller, run: str, after: int) -> AsyncIterator[bytes]:
    async for line in controller.follow(run, after):
        yield (json.dumps(line).encode() if line else b"") + b"\n"
