"""JSON Schemas of the files that users write, so that editors complete and check them. Pure."""

import json
import math
from collections.abc import Mapping
from typing import Any, Literal, get_args

from hitless.kit.units import format_duration
from hitless.plan.change import Change
from hitless.plan.document import Model
from hitless.plan.system import System

FileKind = Literal["system", "change"]
FILE_KINDS: tuple[FileKind, ...] = get_args(FileKind)
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_of(kind: FileKind) -> dict[str, Any]:
    """Return the JSON Schema of a file. It knows keys, types and forms; names that refer to others only the reader."""
    model: type[Model] = Change if kind == "change" else System
    title = {"system": "hitless: the system file (hitless.yaml)", "change": "hitless: a change file"}[kind]
    schema = _told(model.model_json_schema(by_alias=True))
    return {"$schema": DIALECT, **schema, "title": title}


def published(kind: FileKind) -> str:
    """Return the text of the schema as it lies in the package, at hitless/plan/schemas/KIND.schema.json."""
    return json.dumps(schema_of(kind), indent=1)


def _told(schema: Any) -> Any:
    """Write defaults as a user would, and leave out titles that only repeat the key."""
    if isinstance(schema, list):
        return [_told(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    plain = {key: _told(value) for key, value in schema.items() if key != "title" or isinstance(value, Mapping)}
    default = schema.get("default")
    if isinstance(default, float):
        plain["default"] = _default(default, schema)
    if "patternProperties" in plain:
        plain.pop("propertyNames", None)
        plain["additionalProperties"] = False
    if isinstance(plain.get("default"), Mapping | list) or plain.get("default", "") is None:
        del plain["default"]
    return plain


def _default(value: float, schema: Mapping[str, Any]) -> str | None:
    pattern = str(schema)
    if value == math.inf:
        return "none"
    if "ms|s|m|h|d" in pattern:
        return format_duration(value)
    return f"{value:g}x" if "x$" in pattern else f"{value * 100:g}%"
