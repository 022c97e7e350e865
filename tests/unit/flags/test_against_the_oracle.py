"""Random rules over all operators, random contexts: the same value, variant, reason and error as flagd-core."""

import json
import logging
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hitless.flags import FlagSet

oracle = pytest.importorskip(
    "openfeature.contrib.tools.flagd.core", reason="openfeature-flagd-core is not installed: nothing to compare with"
)

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-20, 120),
    st.sampled_from([0.5, 2.0, -1.5, 1e20]),
    st.sampled_from(
        ["", "a", "on", "off", "true", "1", "1.2.3", "v2.0", "1.0.0-rc.1", "x@shop.example", "é", "inf", " 7 "]
    ),
)
KEYS = st.sampled_from(
    [
        "",
        "targetingKey",
        "email",
        "n",
        "list",
        "user.name",
        "list.1",
        "$flagd.flagKey",
        "gone",
        "list.length",
        "current",
        "accumulator",
    ]
)
OPERATORS = [
    "==", "!=", "===", "!==", "<", "<=", ">", ">=", "!", "!!", "+", "*", "-", "/", "%", "in", "min", "max", "cat", "substr", "merge", "starts_with",
    "ends_with", "if", "?:", "and", "or", "filter", "map", "reduce", "all", "some", "none", "missing", "missing_some", "fractional",
]  # fmt: skip


def _wider(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    operation = st.builds(
        lambda operator, operands: {operator: operands}, st.sampled_from(OPERATORS), st.lists(inner, max_size=5)
    )
    sem_ver = st.tuples(inner, st.sampled_from(["=", "<", "^", "~", ">=", "?"]), inner).map(
        lambda parts: {"sem_ver": list(parts)}
    )
    entry = st.tuples(st.sampled_from(["on", "off"]), st.integers(-1, 60)).map(list)
    split = st.lists(entry, min_size=1, max_size=4)
    return st.one_of(
        operation,
        sem_ver,
        st.lists(inner, max_size=3),
        split.map(lambda entries: {"fractional": entries}),
        st.tuples(inner, split).map(lambda parts: {"fractional": [parts[0], *parts[1]]}),
    )


RULES = st.recursive(
    st.one_of(SCALARS, KEYS.map(lambda key: {"var": key}), KEYS.map(lambda key: {"var": [key, 7]})),
    _wider,
    max_leaves=12,
)
CONTEXTS = st.fixed_dictionaries(
    {},
    optional={
        "targetingKey": st.one_of(st.text(max_size=30), st.none()),
        "email": SCALARS,
        "n": st.one_of(st.integers(), st.floats(allow_nan=False)),
        "list": st.lists(SCALARS, max_size=3),
        "user": st.fixed_dictionaries({"name": SCALARS}),
    },
)
VARIANTS = {"on": "ON", "off": "OFF", "true": "yes", "false": "no", "1": "one"}


def _expected(document: str, context: dict[str, Any]) -> tuple[Any, str | None, str, str | None]:
    from openfeature.evaluation_context import EvaluationContext
    from openfeature.exception import OpenFeatureError

    core = oracle.FlagdCore()
    core.set_flags(document)
    attributes = {name: value for name, value in context.items() if name != "targetingKey"}
    try:
        answer = core.resolve_string_value("f", None, EvaluationContext(context.get("targetingKey"), attributes))
    except OpenFeatureError as error:
        return None, None, "ERROR", error.error_code.value
    except Exception:  # what the SDK makes of it
        return None, None, "ERROR", "GENERAL"
    return answer.value, answer.variant, answer.reason.value, None


@settings(max_examples=800, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rule=RULES, context=CONTEXTS)
@example(rule={"==": [{"var": ""}, {"var": ""}]}, context={})  # the data is one object, and equals itself
@example(rule={"!=": [{"var": "$flagd"}, {"var": "$flagd"}]}, context={"n": 1})
@example(rule={"==": [{"var": "user"}, {"var": ""}]}, context={"user": {"name": None}})
def test_every_rule_and_context_gives_what_flagd_core_gives(rule: Any, context: dict[str, Any]) -> None:
    logging.getLogger("openfeature.contrib").disabled = True
    targeting = rule if isinstance(rule, dict) else {"if": [True, rule]}
    flag = {"state": "ENABLED", "variants": VARIANTS, "defaultVariant": "off", "targeting": targeting}
    document = json.dumps({"flags": {"f": flag}})
    answer = FlagSet.parse(document).evaluate("f", json.loads(json.dumps(context)))
    assert (answer.value, answer.variant, answer.reason, answer.error_code) == _expected(document, context)
