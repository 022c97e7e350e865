"""flagd's gRPC services: evaluation v1 and v2, and sync v1, on one port. The one file that imports gRPC."""

import hmac
import inspect
import os
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import grpc
import grpc.aio

from hitless.flags.flagd_messages import MESSAGES, VALUES, fill, plain_of, set_value
from hitless.flags.flagset import FlagSet
from hitless.flags.served import Served, TooManyStreams
from hitless.kit.errors import InvalidInput

LARGEST_REQUEST = 1_048_576  # bytes
REQUESTS_AT_ONCE = 20_000  # streams included

_STATUS = {
    "FLAG_NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "PARSE_ERROR": grpc.StatusCode.DATA_LOSS,
    "TYPE_MISMATCH": grpc.StatusCode.INVALID_ARGUMENT,
    "INVALID_CONTEXT": grpc.StatusCode.INVALID_ARGUMENT,
    "TARGETING_KEY_MISSING": grpc.StatusCode.INVALID_ARGUMENT,
}

Context = Any  # grpc.aio.ServicerContext; its stubs do not know that one handler serves several messages


class Flagd:
    """The gRPC server."""

    def __init__(self, served: Served, token: str) -> None:
        self._served = served
        self._token = token
        options = [
            ("grpc.max_receive_message_length", LARGEST_REQUEST),
            ("grpc.so_reuseport", 0),
            # The Python provider pings without a pause; who is cut off for that is blind for 5 s, once a minute.
            ("grpc.http2.max_ping_strikes", 0),
        ]
        self._server = grpc.aio.server(options=options, maximum_concurrent_rpcs=REQUESTS_AT_ONCE)
        for name, unary, streams in (
            ("flagd.evaluation.v1.Service", self._resolvers("flagd.evaluation.v1"), {"EventStream": self._events}),
            ("flagd.evaluation.v2.Service", self._resolvers("flagd.evaluation.v2"), {"EventStream": self._events}),
            (
                "flagd.sync.v1.FlagSyncService",
                {"FetchAllFlags": self._fetch_all, "GetMetadata": self._metadata},
                {"SyncFlags": self._sync},
            ),
        ):
            self._server.add_generic_rpc_handlers((self._handlers(name, unary, streams),))

    async def start(self, address: str) -> int:
        """Listen on `unix:PATH` (mode 0600) or HOST:PORT; returns the port."""
        before = os.umask(0o177)
        try:
            port = self._server.add_insecure_port(address)
            await self._server.start()
        finally:
            os.umask(before)
        return port

    async def stop(self, grace_s: float) -> None:
        """End all streams and stop."""
        await self._server.stop(grace_s)

    @staticmethod
    def _handlers(service: str, unary: Mapping[str, Any], streams: Mapping[str, Any]) -> grpc.GenericRpcHandler:
        package = service.rpartition(".")[0]
        handlers = {}
        for kind, methods in (
            (grpc.unary_unary_rpc_method_handler, unary),
            (grpc.unary_stream_rpc_method_handler, streams),
        ):
            for name, method in methods.items():
                request, response = MESSAGES[f"{package}.{name}Request"], MESSAGES[f"{package}.{name}Response"]
                handlers[name] = kind(
                    _of_package(method, package),
                    request_deserializer=request.FromString,
                    response_serializer=response.SerializeToString,
                )
        return grpc.method_handlers_generic_handler(service, handlers)

    def _resolvers(self, package: str) -> dict[str, Any]:
        resolvers: dict[str, Any] = {f"Resolve{kind}": self._resolver(kind) for kind in VALUES}
        return resolvers | ({"ResolveAll": self._resolve_all} if package.endswith("v1") else {})

    def _resolver(self, kind: str) -> Callable[..., Any]:
        async def resolve(package: str, request: Any, context: Context) -> Any:
            flags = await self._selected(context, "")
            answer = flags.evaluate(request.flag_key, plain_of(request.context) | self._served.context)
            if answer.error_code is not None:
                await context.abort(_STATUS.get(answer.error_code, grpc.StatusCode.INTERNAL), answer.error)
            response = MESSAGES[f"{package}.Resolve{kind}Response"](reason=answer.reason)
            response.metadata.update(dict(answer.metadata))
            if answer.variant is not None:
                response.variant = answer.variant
                if not set_value(response, kind, answer.value):
                    text = f"flag {answer.key!r} is no {kind}: {answer.value!r:.80}"
                    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, text)
            return response

        return resolve

    async def _resolve_all(self, package: str, request: Any, context: Context) -> Any:
        flags = await self._selected(context, "")
        response = MESSAGES[f"{package}.ResolveAllResponse"]()
        response.metadata.update(dict(flags.metadata))
        values = plain_of(request.context) | self._served.context
        for key in flags.keys:
            answer = flags.evaluate(key, values)
            if answer.error_code is None and answer.variant is not None:
                fill(response.flags[key], answer)
        return response

    async def _events(self, package: str, _request: Any, context: Context) -> AsyncIterator[Any]:
        message = MESSAGES[f"{package}.EventStreamResponse"]
        await self._selected(context, "")
        async for version, client in self._versions(package, context):
            if not client.version:
                yield message(type="provider_ready")
            # All flags, not only those that changed: who was away, or before us, cannot know which those are.
            change = message(type="configuration_change")
            keys = self._served.keys | self._served.retired
            change.data.update({"flags": {key: {"type": "update"} for key in keys}})
            yield change
            client.version = version

    async def _sync(self, package: str, request: Any, context: Context) -> AsyncIterator[Any]:
        message = MESSAGES[f"{package}.SyncFlagsResponse"]
        async for version, client in self._versions(package, context):
            flags = await self._selected(context, request.selector)
            sent = message(flag_configuration=flags.text)
            sent.sync_context.update(self._served.context)
            yield sent
            client.version = version

    async def _fetch_all(self, package: str, request: Any, context: Context) -> Any:
        flags = await self._selected(context, request.selector)
        return MESSAGES[f"{package}.FetchAllFlagsResponse"](flag_configuration=flags.text)

    async def _metadata(self, package: str, _request: Any, _context: Context) -> Any:
        response = MESSAGES[f"{package}.GetMetadataResponse"]()
        response.metadata.SetInParent()  # the Python provider asks for it even where it is empty, or stops listening
        response.metadata.update(self._served.context)
        return response

    async def _versions(self, package: str, context: Context) -> AsyncIterator[Any]:
        asked = dict(context.invocation_metadata() or ())
        try:
            with self._served.connected(package, _peer(context), str(asked.get("user-agent", ""))) as client:
                async for version in self._served.versions():
                    yield version, client
        except TooManyStreams as error:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, error.text)

    async def _selected(self, context: Context, selector: str) -> FlagSet:
        asked = dict(context.invocation_metadata() or ())
        given = str(asked.get("authorization", "")).removeprefix("Bearer ") or str(asked.get("x-api-key", ""))
        if self._token and not hmac.compare_digest(given.encode(), self._token.encode()):
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the token is missing or wrong")
        try:
            return self._served.selected(str(asked.get("flagd-selector", "")) or selector)
        except InvalidInput as error:
            await context.abort(grpc.StatusCode.NOT_FOUND, error.text)
            raise


def _peer(context: Context) -> str:
    peer = str(context.peer())
    return "" if peer.startswith("unix:") else peer


def _of_package(method: Callable[..., Any], package: str) -> Callable[..., Any]:
    """Give a method its package: gRPC looks whether it is a coroutine or a generator, so there are two forms."""
    if inspect.isasyncgenfunction(method):

        async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
            async for message in method(package, request, context):
                yield message

        return stream

    async def unary(request: Any, context: Context) -> Any:
        return await method(package, request, context)

    return unary
