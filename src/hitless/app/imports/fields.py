"""Reads foreign mappings key by key, and knows afterwards what nobody has read. Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from hitless.app.imports.outcome import Left
from hitless.kit.errors import InvalidInput
from hitless.kit.units import format_duration, parse_duration_s
from hitless.plan.instances import NAME

NAME_LIMIT = 40
Explained = Mapping[str, tuple[str, str, str]]  # the last key of a path -> code, sentence, hint


class Fields:
    """A mapping of a foreign file. Reading a key marks it; `unread` names the others.

    Every reader raises InvalidInput `broken-manifest` for a value of the wrong type.
    """

    def __init__(self, content: object, origin: str, path: str = "") -> None:
        self.origin, self.path = origin, path
        if content is not None and not isinstance(content, dict):
            raise self._broken("", "a mapping", content)
        self._content: dict[Any, Any] = content or {}
        self._read: set[str] = set()
        self._inner: dict[str, Fields] = {}

    def has_read(self, key: str) -> bool:
        """Tell whether somebody has read the key."""
        return key in self._read

    def __contains__(self, key: str) -> bool:
        """Tell whether the key is there; this does not mark it."""
        return key in self._content

    def at(self, key: str) -> str:
        """Name a key of this mapping from the root on."""
        return f"{self.path}.{key}" if self.path and key else self.path or key

    def text(self, key: str, default: str = "") -> str:
        """Read a text; a number counts as one, as people write 1.0 for a version."""
        value = self.take(key, default)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise self._broken(key, "a text", value)
        return str(value)

    def count(self, key: str, default: int = 0) -> int:
        """Read a whole number."""
        value = self.take(key, default)
        if isinstance(value, str) and value.isdecimal():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._broken(key, "a whole number", value)
        return value

    def flag(self, key: str, *, default: bool = False) -> bool:
        """Read true or false."""
        value = self.take(key, default)
        if not isinstance(value, bool):
            raise self._broken(key, "true or false", value)
        return value

    def seconds(self, key: str) -> float | None:
        """Read a length of time: `40s`, `1h30m`, or a number of seconds; None if the key is not there."""
        value = self.take(key, None)
        if value is None:
            return None
        try:
            return float(value) if re.fullmatch(r"\d+(\.\d+)?", str(value)) else parse_duration_s(str(value))
        except ValueError:
            raise self._broken(key, "a length of time", value) from None

    def inside(self, key: str) -> "Fields":
        """Read a mapping; empty if it is not there."""
        return self._below(self.take(key, None), self.at(key))

    def each(self, key: str) -> "list[Fields]":
        """Read a list of mappings; empty if it is not there."""
        return [self._below(item, f"{self.at(key)}[{number}]") for number, item in enumerate(self._list(key))]

    def texts(self, key: str) -> list[str]:
        """Read a list of texts; empty if it is not there."""
        return [str(item) for item in self._list(key)]

    def take(self, key: str, default: object = None) -> Any:
        """Read a value of whatever type."""
        self._read.add(key)
        value = self._content.get(key)
        return default if value is None else value

    def keys(self) -> list[str]:
        """Name all keys."""
        return [str(key) for key in self._content]

    def unread(self) -> Iterator[str]:
        """Name the path of every key that nobody has read, from the root on."""
        for key in self._content:
            if str(key) not in self._read:
                yield self.at(str(key))
        for inner in self._inner.values():
            yield from inner.unread()

    def left(self, explained: Explained) -> Iterator[Left]:
        """Tell of every key that nobody has read: with an explanation where there is one, else plainly."""
        for path in self.unread():
            key = re.sub(r"\[\d+\]$", "", path).rpartition(".")[2]
            code, text, hint = explained.get(key, ("not-translated", "hitless has nothing that means this", ""))
            yield Left(code=code, where=f"{self.origin}: {path}", text=text, hint=hint)

    def _list(self, key: str) -> list[Any]:
        value = self.take(key, [])
        if not isinstance(value, list):
            raise self._broken(key, "a list", value)
        return value

    def _below(self, content: object, path: str) -> "Fields":
        if path not in self._inner:
            self._inner[path] = Fields(content, self.origin, path)
        return self._inner[path]

    def _broken(self, key: str, wanted: str, value: object) -> InvalidInput:
        shown = repr(value)[:80]
        return InvalidInput("broken-manifest", f"{self.origin}: {self.at(key) or 'it'} must be {wanted}, not {shown}")


def duration(seconds: float) -> str:
    """Write a length of time in our files, exactly."""
    short = format_duration(seconds)
    return short if parse_duration_s(short) == seconds else f"{seconds:g}s"


def fitting_name(name: str, origin: str) -> str:
    """Turn a Kubernetes name into one of ours. Raises InvalidInput `invalid-name` if nothing is left of it."""
    fitted = re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-")[:NAME_LIMIT].strip("-")
    fitted = fitted if not fitted[:1].isdigit() else f"s{fitted}"
    if NAME.fullmatch(fitted) is None:
        raise InvalidInput("invalid-name", f"{origin}: {name!r} is no name", "small letters, digits and -")
    return fitted
