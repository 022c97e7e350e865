"""A set of flags, compiled once and never changed: `FlagSet.parse(text).evaluate(key, context)`."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Self

from hitless.flags.bucketing import Bucketing
from hitless.flags.compile import BadRule, Choose, compile_rule
from hitless.flags.evaluation import BadFlag, Evaluation, Outcomes
from hitless.flags.refs import inline
from hitless.kit.errors import InvalidInput

NO_CONTEXT: Mapping[str, Any] = MappingProxyType({})

Resolve = Callable[[Mapping[str, Any]], Evaluation]


class FlagSet:
    """An immutable snapshot: evaluated by any number of threads without a lock, replaced as a whole."""

    def __init__(self, document: dict[str, Any], text: str, bucketing: Bucketing, now: Callable[[], float]) -> None:
        self.text = text
        self.bucketing = bucketing
        self.version = hashlib.sha256(f"{bucketing}\n{text}".encode()).hexdigest()[:32]
        self.metadata: Mapping[str, Any] = MappingProxyType(_metadata(document.get("metadata"), "the set"))
        self.definitions: Mapping[str, Any] = MappingProxyType(_flags(document))
        self._choose: dict[str, Choose] = {}
        self._resolve: dict[str, Resolve] = {}
        bad = {}
        for key, definition in self.definitions.items():
            try:
                self._resolve[key] = self._compiled(key, definition, document.get("$evaluators") or {}, now)
            except (BadFlag, BadRule, UnicodeEncodeError, RecursionError) as reason:
                bad[key] = str(reason)
                failure = Evaluation.failed(key, "PARSE_ERROR", f"flag {key!r}: {reason}", self.metadata)
                self._resolve[key] = lambda _context, failure=failure: failure  # type: ignore[misc]
        self.bad: Mapping[str, str] = MappingProxyType(bad)

    @classmethod
    def parse(cls, text: str, bucketing: Bucketing = "v3", now: Callable[[], float] = time.time) -> Self:
        """Read a flags.json. One bad flag is named in `bad` and answers PARSE_ERROR; the others live.

        Raises InvalidInput `flags-invalid` if the text as a whole is no set of flags.
        """
        if bucketing not in ("v2", "v3"):
            raise InvalidInput("flags-invalid", f"bucketing {bucketing!r} is unknown", "take v2 or v3")
        return cls(_read(text), text, bucketing, now)

    @property
    def keys(self) -> tuple[str, ...]:
        """The names of all flags, bad ones too, in the order of the text."""
        return tuple(self._resolve)

    def evaluate(self, key: str, context: Mapping[str, Any] | None = None) -> Evaluation:
        """Evaluate one flag; `targetingKey` is a key of the context. Never raises: an error is an answer too."""
        resolve = self._resolve.get(key)
        if resolve is None:
            return Evaluation.failed(key, "FLAG_NOT_FOUND", f"there is no flag {key!r}", self.metadata)
        return resolve(NO_CONTEXT if context is None else context)

    def chooser(self, key: str) -> Choose | None:
        """Return the generated function from a context to what the rule answers; None for a flag without a rule."""
        return self._choose.get(key)

    def _compiled(self, key: str, definition: Any, shared: dict[str, Any], now: Callable[[], float]) -> Resolve:
        outcomes = Outcomes.read(key, definition, self.metadata)
        rule = definition.get("targeting")
        if outcomes.fixed is not None:
            return outcomes.answer_fixed
        if not isinstance(rule, dict):
            raise BadFlag("targeting is no object")
        choose = compile_rule(inline(rule, shared), key, self.bucketing, now)
        self._choose[key] = choose
        return outcomes.resolver(choose)


def _read(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text, object_pairs_hook=_without_doubles)
    except (ValueError, RecursionError) as error:
        reason = str(error) or "it is nested too deep"
        raise InvalidInput(
            "flags-invalid", f"the set of flags is no JSON: {reason}", "see flagd's flags.json"
        ) from None
    if not isinstance(document, dict) or not isinstance(document.get("$evaluators") or {}, dict):
        raise InvalidInput("flags-invalid", "the set of flags is no JSON object", 'begin with {"flags": {...}}')
    return document


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key {next(name for name in names if names.count(name) > 1)!r} stands twice in one object")
    return read


def _flags(document: dict[str, Any]) -> dict[str, Any]:
    match document.get("flags"):
        case dict() as flags:
            return flags
        case list() as flags if all(isinstance(flag, dict) and isinstance(flag.get("key"), str) for flag in flags):
            named = _without_doubles([(flag["key"], flag) for flag in flags])
            return {key: {name: flag[name] for name in flag if name != "key"} for key, flag in named.items()}
        case _:
            raise InvalidInput(
                "flags-invalid", "`flags` is neither an object nor a list of named flags", "see flags.json"
            )


def _metadata(metadata: Any, whose: str) -> dict[str, Any]:
    if metadata is None:
        return {}
    simple = isinstance(metadata, dict) and all(isinstance(value, str | int | float) for value in metadata.values())
    if not simple or "" in metadata:
        text = f"metadata of {whose} has a value that is no text, number or bool, or an empty name"
        raise InvalidInput("flags-invalid", text, "make it a flat object")
    return dict(metadata)
