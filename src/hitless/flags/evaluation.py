"""What an evaluation answers. Each flag's possible answers are made once, when it is read. Pure."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, Self

from hitless.flags.compile import Choose

Reason = Literal["STATIC", "DEFAULT", "TARGETING_MATCH", "DISABLED", "ERROR"]
ErrorCode = Literal[
    "FLAG_NOT_FOUND", "PARSE_ERROR", "GENERAL", "INVALID_CONTEXT", "TARGETING_KEY_MISSING", "TYPE_MISMATCH"
]


class BadFlag(ValueError):
    """The definition is not what flags.json allows; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The answer for one flag. No variant and no error: the caller's own default counts (value None)."""

    key: str
    value: Any = None
    variant: str | None = None
    reason: Reason = "DEFAULT"
    error_code: ErrorCode | None = None
    error: str = ""
    metadata: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def failed(cls, key: str, code: ErrorCode, error: str, metadata: Mapping[str, Any]) -> Self:
        """Return an answer that is an error: reason ERROR, no value, no variant."""
        return cls(key=key, reason="ERROR", error_code=code, error=error, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """All answers of one flag."""

    key: str
    matched: dict[str, Evaluation]  # by variant
    default: Evaluation  # the rule names no variant
    fixed: Evaluation | None  # there is no rule, or the flag is off
    metadata: Mapping[str, Any]

    @classmethod
    def read(cls, key: str, definition: Any, set_metadata: Mapping[str, Any]) -> Self:
        """Check a definition and make its answers. Raises BadFlag."""
        if not isinstance(definition, dict):
            raise BadFlag("it is no object")
        variants, state = definition.get("variants"), definition.get("state")
        if state not in ("ENABLED", "DISABLED"):
            raise BadFlag(f"state is {state!r}, not ENABLED or DISABLED")
        if not isinstance(variants, dict) or not variants:
            raise BadFlag("variants is no object with at least one variant")
        metadata = MappingProxyType({**set_metadata, **_own_metadata(definition.get("metadata"))})
        name = _default_variant(definition.get("defaultVariant"))
        fixed = None
        if state == "DISABLED":
            fixed = Evaluation(key=key, reason="DISABLED", metadata=metadata)
        if state == "ENABLED" and not definition.get("targeting"):
            fixed = _default(key, variants, name, "STATIC", metadata)
        matched = {
            variant: Evaluation(key=key, value=value, variant=variant, reason="TARGETING_MATCH", metadata=metadata)
            for variant, value in variants.items()
            if value is not None
        }
        default = _default(key, variants, name, "DEFAULT", metadata)
        return cls(key=key, matched=matched, default=default, fixed=fixed, metadata=metadata)

    def answer_fixed(self, _context: Mapping[str, Any]) -> Evaluation:
        """Answer without a rule."""
        assert self.fixed is not None
        return _own_copy(self.fixed)

    def resolver(self, choose: Choose) -> Callable[[Mapping[str, Any]], Evaluation]:
        """Return the function that evaluates the rule and never raises."""
        matched, default, other = self.matched, self.default, self._other
        shared = not any(isinstance(answer.value, dict | list) for answer in (default, *matched.values()))

        def resolve(context: Mapping[str, Any]) -> Evaluation:
            try:
                variant = choose(context)
            except (TypeError, ValueError, ArithmeticError, AttributeError, LookupError, RecursionError) as error:
                return self._failed(f"its rule failed on this context: {error}")
            if variant.__class__ is str and variant in matched:
                return matched[variant]
            return default if variant is None else other(variant)

        return resolve if shared else lambda context: _own_copy(resolve(context))

    def _other(self, variant: Any) -> Evaluation:
        name = str(variant).lower() if isinstance(variant, bool) else str(variant)
        return self.matched.get(name) or self._failed(f"its rule answers {name!r}, which is no variant of it")

    def _failed(self, why: str) -> Evaluation:
        return Evaluation.failed(self.key, "GENERAL", f"flag {self.key!r}: {why}", self.metadata)


def _default(
    key: str, variants: dict[str, Any], name: str | None, reason: Reason, metadata: Mapping[str, Any]
) -> Evaluation:
    if name is None:
        return Evaluation(key=key, reason="DEFAULT", metadata=metadata)
    if name not in variants:
        return Evaluation.failed(key, "GENERAL", f"flag {key!r}: default variant {name!r} does not exist", metadata)
    return Evaluation(key=key, value=variants[name], variant=name, reason=reason, metadata=metadata)


def _default_variant(name: Any) -> str | None:
    match name:
        case bool():
            return str(name).lower()
        case str() | None:
            return name or None
        case _:
            raise BadFlag(f"defaultVariant is {name!r}, not the name of a variant")


def _own_metadata(metadata: Any) -> dict[str, Any]:
    match metadata:
        case None:
            return {}
        case dict() if "" not in metadata and all(isinstance(value, str | int | float) for value in metadata.values()):
            return metadata
        case _:
            raise BadFlag("metadata is no flat object of texts, numbers and bools")


def _own_copy(answer: Evaluation) -> Evaluation:
    """Give each caller its own object or list, so that none can change the set."""
    if not isinstance(answer.value, dict | list):
        return answer
    return Evaluation(
        key=answer.key,
        value=copy.deepcopy(answer.value),
        variant=answer.variant,
        reason=answer.reason,
        metadata=answer.metadata,
    )
