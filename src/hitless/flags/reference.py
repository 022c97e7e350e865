"""The reference evaluator, openfeature-flagd-core, for comparison only: `flags evaluate --evaluator reference`."""

from collections.abc import Mapping
from typing import Any, cast

from hitless.flags.evaluation import ErrorCode, Evaluation, Reason
from hitless.flags.flagset import FlagSet
from hitless.kit.errors import InvalidInput

_BY_TYPE = ((bool, "boolean"), (str, "string"), (int, "integer"), (float, "float"), (dict, "object"), (list, "object"))


def evaluate(flags: FlagSet, key: str, context: Mapping[str, Any]) -> Evaluation:
    """Evaluate one flag as the reference does. Raises InvalidInput if it is not installed or takes not the set at all.

    It knows generation v3 alone, and one bad flag makes it refuse a set.
    """
    try:
        from openfeature.contrib.tools.flagd.core import FlagdCore
        from openfeature.evaluation_context import EvaluationContext
        from openfeature.exception import OpenFeatureError
    except ImportError:
        hint = "pip install openfeature-flagd-core"
        raise InvalidInput("no-reference", "the reference evaluator is not installed", hint) from None
    if flags.bucketing != "v3":
        raise InvalidInput("no-reference", "the reference evaluator splits by v3 alone", "leave --evaluator out")
    core = FlagdCore()
    try:
        core.set_flags(flags.text)
    except Exception as error:  # noqa: BLE001  whatever it cannot read is its refusal
        raise InvalidInput("no-reference", f"the reference evaluator refuses the set: {error}", "mend it") from None
    rest = {name: value for name, value in context.items() if name != "targetingKey"}
    asked = EvaluationContext(context.get("targetingKey"), rest)
    try:
        resolve = getattr(core, f"resolve_{_type_of(flags, key)}_value")
        found = resolve(key, None, asked)
    except OpenFeatureError as error:
        return Evaluation.failed(key, cast(ErrorCode, error.error_code.value), str(error.error_message or ""), {})
    value = found.value if found.variant is not None else None
    reason = getattr(found.reason, "value", found.reason) or "DEFAULT"
    return Evaluation(
        key=key,
        value=value,
        variant=found.variant,
        reason=cast(Reason, reason),
        metadata=dict(found.flag_metadata or {}),
    )


def _type_of(flags: FlagSet, key: str) -> str:
    definition = flags.definitions.get(key)
    variants = definition.get("variants") if isinstance(definition, dict) else None
    first = next(iter(variants.values()), True) if isinstance(variants, dict) else True
    return next((name for kind, name in _BY_TYPE if isinstance(first, kind)), "boolean")
