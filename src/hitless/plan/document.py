"""From YAML text to a checked value, with errors that name the line. The one file that knows YAML and pydantic."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from ipaddress import ip_address
from typing import Annotated, Any, TypeVar, get_args, get_origin
from urllib.parse import urlsplit

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic.annotated_handlers import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import ErrorDetails, core_schema

from hitless.kit.errors import InvalidInput
from hitless.kit.units import parse_duration_s
from hitless.plan.explaining import explained
from hitless.plan.instances import INSTANCES_LIMIT, NAME, VERSION

DOCUMENT_LIMIT = 1_000_000  # characters of one file
DEPTH_LIMIT = 30  # nested values; also what an alias inside itself runs into
VALUES_LIMIT = 50_000  # with every alias counted as what it stands for

Where = tuple[str | int, ...]
M = TypeVar("M", bound="Model")
T = TypeVar("T")
C = TypeVar("C", bound=Callable[..., object])


class Model(BaseModel):
    """A part of a file: frozen, unknown keys refused, no silent conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def before(convert: Callable[[object], object]) -> BeforeValidator:
    """Convert what stands in the file before its type is checked; what `convert` raises as ValueError is shown."""
    return BeforeValidator(convert)


def shown(schema: Mapping[str, Any]) -> WithJsonSchema:
    """Say in the JSON Schema what stands in the file, where that is not what the code gets."""
    return WithJsonSchema(dict(schema))


class OrList:
    """Say in the JSON Schema that a bare list of texts may stand here too."""

    def __get_pydantic_json_schema__(
        self, core: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Implement pydantic's hook."""
        return {"anyOf": [handler(core), {"type": "array", "items": {"type": "string"}}]}


def after(check: C) -> C:
    """Mark a method of a model that checks it as a whole; what it raises as ValueError is shown to the user."""
    return model_validator(mode="after")(check)  # type: ignore[return-value]


def called(name: str, default: object) -> Any:
    """Give a field another name in the file than in the code."""
    return Field(default=default, alias=name)


def _without_password(url: str) -> str:
    """What stands in a file is copied into plans and states; a secret is named there, never written."""
    parts = urlsplit(url) if "://" in url else None
    if parts is not None and (parts.password is not None or "password=" in parts.query):
        raise ValueError("a password must not stand in this file; name a variable that holds the url: env:NAME")
    return url


class _matching:  # noqa: N801  it stands where a function would
    """A text that matches as a whole; the JSON Schema says so too."""

    def __init__(self, pattern: str, what: str) -> None:
        self._pattern, self._what = re.compile(pattern), what

    def _check(self, text: str) -> str:
        if self._pattern.fullmatch(text) is None:
            raise ValueError(f"{text!r} is no {self._what}")
        return text

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, core: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(core), "pattern": f"^(?:{self._pattern.pattern})$", "description": self._what}


def _duration(value: object) -> float:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no duration like 500ms, 10s, 5m or 1h")  # noqa: TRY004  pydantic wants ValueError
    return parse_duration_s(value)


def _bindable(value: str) -> str:
    host, _, port = value.rpartition(":")
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        raise ValueError(f"{host} is no IP address") from None
    if not 1 <= int(port) <= 65_535:
        raise ValueError(f"{port} is no port from 1 to 65535")
    return value


Name = Annotated[str, _matching(NAME.pattern, "name (small letters, digits, - and _; a letter first)")]
Version = Annotated[str, _matching(VERSION.pattern, "version (letters, digits, . _ + -)")]
Path = Annotated[str, _matching(r"/[A-Za-z0-9._~/-]{0,200}", "path")]
Route = Annotated[str, _matching(r"[a-z0-9.-]{0,253}/[A-Za-z0-9._~/-]{0,200}", "route ([host]/prefix)")]
Address = Annotated[
    str,
    _matching(r"(?:\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-f:]+\]):\d{1,5}", "address (IP:port)"),
    AfterValidator(_bindable),
]
DURATION = {"type": "string", "pattern": r"^(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+$", "description": "500ms, 10s, 1m30s, 2h"}
Duration = Annotated[float, BeforeValidator(_duration), shown(DURATION)]  # seconds
OptionalDuration = Annotated[
    float,
    BeforeValidator(lambda value: math.inf if value == "none" else _duration(value)),
    shown({"anyOf": [DURATION, {"const": "none"}]}),
]
Count = Annotated[int, Field(ge=1, le=INSTANCES_LIMIT, strict=True)]
Reference = Annotated[
    str,
    _matching(r"(?:env:[A-Za-z_][A-Za-z0-9_]*|file:.{1,300}|postgres(?:ql)?://\S{1,500})", "reference"),
    AfterValidator(_without_password),
]
MetricsUrl = Annotated[
    str,
    AfterValidator(_without_password),
    _matching(r"env:[A-Za-z_][A-Za-z0-9_]*|https?://[^\s@]{1,500}", "URL (http://..., or env:NAME)"),
]
Query = Annotated[str, _matching(r"[\s\S]*\S[\s\S]*", "query")]
Label = Annotated[str, _matching(r"[A-Za-z_][A-Za-z0-9_./-]{0,254}", "name of a label")]
MIGRATION_NAME = r"[0-9]{1,14}_[A-Za-z0-9_-]{1,48}"  # the number may be a time: 20261125093000_name
MigrationName = Annotated[str, _matching(MIGRATION_NAME, "name of a migration (NNNN_name)")]
FindingId = Annotated[str, _matching(r"[a-z][a-z0-9-]{1,60}(?::[a-z][a-z0-9-]{1,60})?", "name of a finding")]
FlagKey = Annotated[str, _matching(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}", "key of a flag")]
EnvName = Annotated[str, _matching(r"[A-Za-z_][A-Za-z0-9_]{0,99}", "name of an environment variable")]
UserSource = Annotated[
    str, _matching(r"(?:header|cookie):[A-Za-z0-9_-]{1,60}", "source of users (header:NAME, cookie:NAME)")
]


def read(model: type[M], text: str, *, file: str) -> M:
    """Check one YAML document against a model. Raises InvalidInput with file, line and path."""
    with _told(text, file):
        lines, content = _load(text)
    if not isinstance(content, dict):
        raise InvalidInput("broken-yaml", f"{file}:1: this is no mapping of keys to values")
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise _explain(model, error.errors()[0], lines, file) from None


def documents(text: str, *, file: str) -> list[object]:
    """Read all YAML documents of a foreign file as plain data. Raises InvalidInput with file and line."""
    with _told(text, file):
        for node in yaml.compose_all(text, Loader=yaml.SafeLoader):
            _lines_of(node)
        return list(yaml.safe_load_all(text))


def written(content: Mapping[str, Any]) -> str:
    """Write plain data as YAML, keys in their order."""
    return yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True, width=110)


def decode(kind: type[T], plain: Mapping[str, Any]) -> T:
    """Build a frozen dataclass from plain data (as JSON gives it). Raises InvalidInput if it does not fit."""
    hashable: Any = kind
    try:
        built: T = _adapter(hashable).validate_python(dict(plain))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidInput("broken-data", f"{kind.__name__}.{where}: {first['msg']}") from None
    return built


@cache
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    """Made once for each kind of value: it takes longer than what it is made for."""
    return TypeAdapter(kind)


class _Unfit(Exception):
    def __init__(self, code: str, text: str, line: int) -> None:
        super().__init__(text)
        self.code, self.line = code, line


@contextmanager
def _told(text: str, file: str) -> Iterator[None]:
    """Turn whatever is wrong with a YAML text into InvalidInput that names file and line."""
    if len(text) > DOCUMENT_LIMIT:
        raise InvalidInput("file-too-large", f"{file} has {len(text)} characters; {DOCUMENT_LIMIT} is the limit")
    try:
        yield
    except _Unfit as unfit:
        raise InvalidInput(unfit.code, f"{file}:{unfit.line}: {unfit}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise InvalidInput("broken-yaml", f"{file}:{line}: {getattr(error, 'problem', None) or error}") from None
    except (ValueError, RecursionError) as error:  # a date that is none; brackets without end
        raise InvalidInput("broken-yaml", f"{file}:1: {error}") from None


def _load(text: str) -> tuple[dict[Where, int], object]:
    """Return the line of each path, and the content."""
    return _lines_of(yaml.compose(text, Loader=yaml.SafeLoader)), yaml.safe_load(text)


def _lines_of(root: yaml.Node | None) -> dict[Where, int]:
    lines: dict[Where, int] = {}
    for path, line in _lines(root, ()) if root else ():
        lines[path] = line
        if len(lines) > VALUES_LIMIT:
            raise _Unfit("file-too-large", f"more than {VALUES_LIMIT} values", line)
    return lines


def _lines(node: yaml.Node, path: Where) -> Iterator[tuple[Where, int]]:
    """Yield where in the text each path stands; a key stands where it is written."""
    yield path, node.start_mark.line + 1
    if len(path) > DEPTH_LIMIT:
        raise _Unfit("broken-yaml", f"values are nested more than {DEPTH_LIMIT} deep", node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _Unfit("broken-yaml", "a key must be a plain word", key.start_mark.line + 1)
            if key.value in seen:
                twice = ".".join(map(str, (*path, key.value)))
                raise _Unfit("duplicate-key", f"{twice} stands there twice", key.start_mark.line + 1)
            seen.add(key.value)
            yield from _lines(value, (*path, key.value))
            yield (*path, key.value), key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _lines(item, (*path, index))


def _explain(model: type[Model], error: ErrorDetails, lines: Mapping[Where, int], file: str) -> InvalidInput:
    where: Where = error["loc"]
    while where not in lines and where:  # a missing key has no line of its own, its parent has
        where = where[:-1]
    place = f"{file}:{lines.get(where, 1)}: "
    path = ".".join(str(part) for part in error["loc"] if part != "[key]")
    unknown = error["type"] == "extra_forbidden"
    known = _keys(model, error["loc"][:-1] if unknown else error["loc"])
    return explained(error["type"], error["input"], error.get("ctx", {}), error["msg"], at=(place, path), known=known)


def _keys(annotation: Any, path: Where) -> list[str]:
    """Return the keys that a model, or what is built of models, knows at a path."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = {field.alias or name: field for name, field in annotation.model_fields.items()}
        if not path:
            return list(fields)
        return _keys(fields[str(path[0])].annotation, path[1:]) if path[0] in fields else []
    if get_origin(annotation) in (Mapping, tuple):
        return _keys(get_args(annotation)[-1 if get_origin(annotation) is Mapping else 0], path[1:])
    return next(filter(None, (_keys(part, path) for part in get_args(annotation))), [])
