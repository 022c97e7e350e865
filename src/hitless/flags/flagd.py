"""flagd's gRPC services: evaluation v1 and v2, and sync v1, on one port. The one file that imports gRPC.

The messages are described here instead of generated: fewer lines than the generated files, and none of protoc's.
"""

import hmac
import inspect
import os
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import grpc
import grpc.aio
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, struct_pb2
from google.protobuf.json_format import MessageToDict

from hitless.flags.evaluation import Evaluation
from hitless.flags.flagset import FlagSet
from hitless.flags.served import Served, TooManyStreams
from hitless.kit.errors import InvalidInput

LARGEST_REQUEST = 1_048_576  # bytes
REQUESTS_AT_ONCE = 20_000  # streams included

_FIELD = descriptor_pb2.FieldDescriptorProto
_KINDS = {
    "bool": _FIELD.TYPE_BOOL,
    "string": _FIELD.TYPE_STRING,
    "double": _FIELD.TYPE_DOUBLE,
    "int64": _FIELD.TYPE_INT64,
}
_STRUCT = ".google.protobuf.Struct"
_VALUES = {"Boolean": "bool", "String": "string", "Float": "double", "Int": "int64", "Object": _STRUCT}
_ANY_FLAG = [
    "string reason 1",
    "string variant 2",
    "bool bool_value 3",
    "string string_value 4",
    "double double_value 5",
    f"{_STRUCT} object_value 6",
    f"{_STRUCT} metadata 7",
]
_STATUS = {
    "FLAG_NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "PARSE_ERROR": grpc.StatusCode.DATA_LOSS,
    "TYPE_MISMATCH": grpc.StatusCode.INVALID_ARGUMENT,
    "INVALID_CONTEXT": grpc.StatusCode.INVALID_ARGUMENT,
    "TARGETING_KEY_MISSING": grpc.StatusCode.INVALID_ARGUMENT,
}

Context = Any  # grpc.aio.ServicerContext; its stubs do not know that one handler serves several messages


def _messages() -> dict[str, Any]:
    pool = descriptor_pool.DescriptorPool()
    structure = descriptor_pb2.FileDescriptorProto()
    struct_pb2.DESCRIPTOR.CopyToProto(structure)
    pool.Add(structure)
    for package, messages in (
        (
            "flagd.evaluation.v1",
            _evaluation_messages("") | {"AnyFlag": _ANY_FLAG, "ResolveAllRequest": [f"{_STRUCT} context 1"]},
        ),
        ("flagd.evaluation.v2", _evaluation_messages("optional ")),
        (
            "flagd.sync.v1",
            {
                "SyncFlagsRequest": ["string provider_id 1", "string selector 2"],
                "SyncFlagsResponse": ["string flag_configuration 1", f"optional {_STRUCT} sync_context 2"],
                "FetchAllFlagsRequest": ["string provider_id 1", "string selector 2"],
                "FetchAllFlagsResponse": ["string flag_configuration 1"],
                "GetMetadataRequest": [],
                "GetMetadataResponse": [f"{_STRUCT} metadata 2"],
            },
        ),
    ):
        pool.Add(_file(package, messages))
    names = ("flagd.evaluation.v1", "flagd.evaluation.v2", "flagd.sync.v1")
    files = [pool.FindFileByName(f"{name}.proto") for name in names]
    return {
        descriptor.full_name: message_factory.GetMessageClass(descriptor)
        for file in files
        for descriptor in file.message_types_by_name.values()
    }


def _evaluation_messages(presence: str) -> dict[str, list[str]]:
    messages: dict[str, list[str]] = {
        "EventStreamRequest": [],
        "EventStreamResponse": ["string type 1", f"{_STRUCT} data 2"],
    }
    for name, kind in _VALUES.items():
        messages[f"Resolve{name}Request"] = ["string flag_key 1", f"{_STRUCT} context 2"]
        fields = [
            f"{presence}{kind} value 1",
            "string reason 2",
            f"{presence}string variant 3",
            f"{_STRUCT} metadata 4",
        ]
        messages[f"Resolve{name}Response"] = fields
    return messages


def _file(package: str, messages: Mapping[str, list[str]]) -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    file.dependency.append("google/protobuf/struct.proto")
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for text in fields:
            *presence, kind, field_name, number = text.split()
            field = message.field.add(name=field_name, number=int(number), label=_FIELD.LABEL_OPTIONAL)
            field.type = _KINDS.get(kind, _FIELD.TYPE_MESSAGE)
            if kind == _STRUCT:
                field.type_name = kind
            if presence:
                field.proto3_optional = True
                field.oneof_index = len(message.oneof_decl)
                message.oneof_decl.add(name=f"_{field_name}")
    if package == "flagd.evaluation.v1":
        _add_resolve_all(file)
    return file


def _add_resolve_all(file: descriptor_pb2.FileDescriptorProto) -> None:
    """Describe the one message with a map, and the union of values in its entries."""
    any_flag = next(message for message in file.message_type if message.name == "AnyFlag")
    any_flag.oneof_decl.add(name="value")
    for field in any_flag.field:
        if field.name.endswith("_value"):
            field.oneof_index = 0
    answer = file.message_type.add(name="ResolveAllResponse")
    entry = answer.nested_type.add(name="FlagsEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, label=_FIELD.LABEL_OPTIONAL, type=_FIELD.TYPE_STRING)
    any_name, entry_name = ".flagd.evaluation.v1.AnyFlag", ".flagd.evaluation.v1.ResolveAllResponse.FlagsEntry"
    optional, message = _FIELD.LABEL_OPTIONAL, _FIELD.TYPE_MESSAGE
    entry.field.add(name="value", number=2, label=optional, type=message, type_name=any_name)
    answer.field.add(name="flags", number=1, label=_FIELD.LABEL_REPEATED, type=message, type_name=entry_name)
    answer.field.add(name="metadata", number=2, label=optional, type=message, type_name=_STRUCT)


_MESSAGES = _messages()


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
                request, response = _MESSAGES[f"{package}.{name}Request"], _MESSAGES[f"{package}.{name}Response"]
                handlers[name] = kind(
                    _of_package(method, package),
                    request_deserializer=request.FromString,
                    response_serializer=response.SerializeToString,
                )
        return grpc.method_handlers_generic_handler(service, handlers)

    def _resolvers(self, package: str) -> dict[str, Any]:
        resolvers: dict[str, Any] = {f"Resolve{kind}": self._resolver(kind) for kind in _VALUES}
        return resolvers | ({"ResolveAll": self._resolve_all} if package.endswith("v1") else {})

    def _resolver(self, kind: str) -> Callable[..., Any]:
        async def resolve(package: str, request: Any, context: Context) -> Any:
            flags = await self._selected(context, "")
            answer = flags.evaluate(request.flag_key, _plain(request.context) | self._served.context)
            if answer.error_code is not None:
                await context.abort(_STATUS.get(answer.error_code, grpc.StatusCode.INTERNAL), answer.error)
            response = _MESSAGES[f"{package}.Resolve{kind}Response"](reason=answer.reason)
            response.metadata.update(dict(answer.metadata))
            if answer.variant is not None:
                response.variant = answer.variant
                if not _set_value(response, kind, answer.value):
                    text = f"flag {answer.key!r} is no {kind}: {answer.value!r:.80}"
                    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, text)
            return response

        return resolve

    async def _resolve_all(self, package: str, request: Any, context: Context) -> Any:
        flags = await self._selected(context, "")
        response = _MESSAGES[f"{package}.ResolveAllResponse"]()
        response.metadata.update(dict(flags.metadata))
        values = _plain(request.context) | self._served.context
        for key in flags.keys:
            answer = flags.evaluate(key, values)
            if answer.error_code is None and answer.variant is not None:
                _fill(response.flags[key], answer)
        return response

    async def _events(self, package: str, _request: Any, context: Context) -> AsyncIterator[Any]:
        message = _MESSAGES[f"{package}.EventStreamResponse"]
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
        message = _MESSAGES[f"{package}.SyncFlagsResponse"]
        async for version, client in self._versions(package, context):
            flags = await self._selected(context, request.selector)
            sent = message(flag_configuration=flags.text)
            sent.sync_context.update(self._served.context)
            yield sent
            client.version = version

    async def _fetch_all(self, package: str, request: Any, context: Context) -> Any:
        flags = await self._selected(context, request.selector)
        return _MESSAGES[f"{package}.FetchAllFlagsResponse"](flag_configuration=flags.text)

    async def _metadata(self, package: str, _request: Any, _context: Context) -> Any:
        response = _MESSAGES[f"{package}.GetMetadataResponse"]()
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


def _plain(structure: Any) -> dict[str, Any]:
    """Read a Struct; its numbers are all doubles, so 5.0 becomes the 5 that the client wrote."""
    plain: dict[str, Any] = _whole(MessageToDict(structure))
    return plain


def _whole(value: Any) -> Any:
    match value:
        case dict():
            return {key: _whole(each) for key, each in value.items()}
        case list():
            return [_whole(each) for each in value]
        case float() if value.is_integer():
            return int(value)
        case _:
            return value


def _set_value(response: Any, kind: str, value: Any) -> bool:
    """Put the value into the response; False if it is of another type."""
    match kind, value:
        case ("Boolean", bool()) | ("String", str()):
            response.value = value
        case ("Int", int()) if not isinstance(value, bool) and -(2**63) <= value < 2**63:
            response.value = value
        case ("Float", int() | float()) if not isinstance(value, bool):
            response.value = float(value)
        case ("Object", dict()):
            response.value.Clear()
            response.value.SetInParent()
            response.value.update(value)
        case _:
            return False
    return True


def _fill(flag: Any, answer: Evaluation) -> None:
    flag.reason, flag.variant = answer.reason, answer.variant
    flag.metadata.update(dict(answer.metadata))
    match answer.value:
        case bool():
            flag.bool_value = answer.value
        case str():
            flag.string_value = answer.value
        case int() | float():
            flag.double_value = float(answer.value)
        case dict():
            flag.object_value.update(answer.value)
        case _:
            pass
