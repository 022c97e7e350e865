"""The flags in the HTTP API: sets, flags, history, clients."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from hitless.app.controller import Controller
from hitless.kit.errors import InvalidInput

SET_BODY_LIMIT = 12_000_000  # bytes: a whole set as a JSON text
HISTORY_LIMIT = 1000

Answer = Callable[[Controller, Request], Awaitable[Any]]
Body = Callable[[Request, int], Awaitable[dict[str, Any]]]
Endpoint = Callable[[Answer], Callable[[Request], Awaitable[Any]]]


class FlagsApi:
    """The routes below /v1/flag-sets and /v1/flag-clients."""

    def __init__(self, endpoint: Endpoint, body: Body, body_limit: int) -> None:
        self._endpoint, self._body, self._limit = endpoint, body, body_limit

    def routes(self) -> list[Route]:
        """Return them; the names of the functions are those of the OpenAPI document."""
        base = "/v1/flag-sets/{set}"
        return [
            Route("/v1/flag-sets", self._endpoint(self.list_sets)),
            Route(base, self._endpoint(self.export_set)),
            Route(base, self._endpoint(self.import_set), methods=["POST"]),
            Route(f"{base}/flags", self._endpoint(self.list_flags)),
            Route(f"{base}/flags/{{flag}}", self._endpoint(self.show_flag)),
            Route(f"{base}/flags/{{flag}}", self._endpoint(self.edit_flag), methods=["POST"]),
            Route(f"{base}/flags/{{flag}}/evaluate", self._endpoint(self.evaluate_flag), methods=["POST"]),
            Route(f"{base}/history", self._endpoint(self.history)),
            Route(f"{base}/stale", self._endpoint(self.stale)),
            Route("/v1/flag-edits/{number}/cancel", self._endpoint(self.cancel_edit), methods=["POST"]),
            Route("/v1/flag-clients", self._endpoint(self.clients)),
        ]

    async def list_sets(self, controller: Controller, _: Request) -> Any:
        """List the sets of flags."""
        return await controller.flags.sets()

    async def export_set(self, controller: Controller, request: Request) -> Any:
        """Return a set as the flags.json that it was imported as."""
        return await controller.flags.export(request.path_params["set"])

    async def import_set(self, controller: Controller, request: Request) -> Any:
        """Replace a set by a flags.json; answers once it is served."""
        body = await self._body(request, SET_BODY_LIMIT)
        return await controller.flags.replace(request.path_params["set"], body)

    async def list_flags(self, controller: Controller, request: Request) -> Any:
        """List the flags of a set with who gets what."""
        return await controller.flags.overview(request.path_params["set"])

    async def show_flag(self, controller: Controller, request: Request) -> Any:
        """Return a flag with its definition, its last edits, and those to come."""
        return await controller.flags.show(request.path_params["set"], request.path_params["flag"])

    async def edit_flag(self, controller: Controller, request: Request) -> Any:
        """Edit a flag now or at a time; answers once it is served, or clients have it."""
        body = await self._body(request, self._limit)
        return await controller.flags.edit(request.path_params["set"], request.path_params["flag"], body)

    async def evaluate_flag(self, controller: Controller, request: Request) -> Any:
        """Evaluate a flag for a context."""
        body = await self._body(request, self._limit)
        context = body.get("context") or {}
        if not isinstance(context, Mapping):
            raise InvalidInput("wrong-type", "context is no object")
        evaluator = str(body.get("evaluator") or "ours")
        return await controller.flags.evaluate(
            request.path_params["set"], request.path_params["flag"], context, evaluator
        )

    async def history(self, controller: Controller, request: Request) -> Any:
        """Return the last edits of a set or of one flag: who, when, why, and the difference."""
        limit = _whole(request.query_params.get("limit", "100"), "limit")
        flag = request.query_params.get("flag", "")
        return await controller.flags.history(request.path_params["set"], flag, min(limit, HISTORY_LIMIT))

    async def stale(self, controller: Controller, request: Request) -> Any:
        """Return the flags that have had their time."""
        days = request.query_params.get("days")
        wanted = None if days is None else float(_whole(days, "days"))
        return await controller.flags.stale(request.path_params["set"], wanted)

    async def cancel_edit(self, controller: Controller, request: Request) -> Any:
        """Let a scheduled edit not happen."""
        body = await self._body(request, self._limit)
        number = _whole(request.path_params["number"], "number")
        return await controller.flags.cancel(number, str(body.get("who") or "api"))

    async def clients(self, controller: Controller, _: Request) -> Any:
        """Return the connected clients and whether each has what is served."""
        return await controller.flags.clients()


def _whole(text: str, name: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise InvalidInput("wrong-type", f"{name}={text!r} is no whole number")
    return int(text)
