"""The messages of flagd's services, described here instead of generated, and what stands in them as plain values. Pure.

That is fewer lines than the generated files, and none of protoc's.
"""

from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, struct_pb2
from google.protobuf.json_format import MessageToDict

from hitless.flags.evaluation import Evaluation

_FIELD = descriptor_pb2.FieldDescriptorProto
_KINDS = {
    "bool": _FIELD.TYPE_BOOL,
    "string": _FIELD.TYPE_STRING,
    "double": _FIELD.TYPE_DOUBLE,
    "int64": _FIELD.TYPE_INT64,
}
_STRUCT = ".google.protobuf.Struct"
VALUES = {"Boolean": "bool", "String": "string", "Float": "double", "Int": "int64", "Object": _STRUCT}
_ANY_FLAG = [
    "string reason 1",
    "string variant 2",
    "bool bool_value 3",
    "string string_value 4",
    "double double_value 5",
    f"{_STRUCT} object_value 6",
    f"{_STRUCT} metadata 7",
]


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
    for name, kind in VALUES.items():
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


MESSAGES = _messages()


def plain_of(structure: Any) -> dict[str, Any]:
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


def set_value(response: Any, kind: str, value: Any) -> bool:
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


def fill(flag: Any, answer: Evaluation) -> None:
    """Put an answer into an AnyFlag."""
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
