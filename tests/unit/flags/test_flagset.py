"""Sets of flags: what is answered, what is refused, and that one bad flag harms no other."""

import json
from typing import Any

import pytest

from hitless.flags import FlagSet
from hitless.kit.errors import InvalidInput


def parse(flags: dict[str, Any], **more: Any) -> FlagSet:
    bucketing = more.pop("bucketing", "v3")
    return FlagSet.parse(json.dumps({"flags": flags, **more}), bucketing=bucketing)


def flag(targeting: Any = None, **more: Any) -> dict[str, Any]:
    made = {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off", **more}
    return {**made, "targeting": targeting} if targeting is not None else made


def test_a_flag_without_a_rule_is_static() -> None:
    answer = parse({"f": flag()}).evaluate("f")
    assert (answer.value, answer.variant, answer.reason, answer.error_code) == (False, "off", "STATIC", None)


def test_a_matching_rule_answers_its_variant() -> None:
    answer = parse({"f": flag({"if": [{"ends_with": [{"var": "email"}, "@x.y"]}, "on"]})}).evaluate(
        "f", {"email": "a@x.y"}
    )
    assert (answer.value, answer.variant, answer.reason) == (True, "on", "TARGETING_MATCH")


def test_a_rule_that_names_nothing_falls_back_to_the_default() -> None:
    answer = parse({"f": flag({"if": [False, "on"]})}).evaluate("f", {})
    assert (answer.value, answer.variant, answer.reason) == (False, "off", "DEFAULT")


@pytest.mark.parametrize("default", [None, ""])
def test_no_default_variant_means_the_callers_own_default(default: str | None) -> None:
    answer = parse({"f": flag(defaultVariant=default)}).evaluate("f", {})
    assert (answer.value, answer.variant, answer.reason, answer.error_code) == (None, None, "DEFAULT", None)


def test_a_disabled_flag_answers_the_callers_own_default() -> None:
    answer = parse({"f": flag(state="DISABLED")}).evaluate("f", {})
    assert (answer.value, answer.variant, answer.reason, answer.error_code) == (None, None, "DISABLED", None)


def test_an_unknown_flag_is_an_error_and_no_exception() -> None:
    answer = parse({}).evaluate("f", {})
    assert (answer.value, answer.variant, answer.reason, answer.error_code) == (None, None, "ERROR", "FLAG_NOT_FOUND")


@pytest.mark.parametrize(
    ("definition", "why"),
    [
        (flag({"no_such": [1]}), "operator 'no_such' is unknown"),
        (flag({"if": [{"$ref": "gone"}, "on"]}), "$ref 'gone' is not in $evaluators"),
        (flag({"if": [{"$ref": "circle"}, "on"]}), "$ref is circular: circle -> turn -> circle"),
        (flag(["on"]), "targeting is no object"),
        (flag(state="MAYBE"), "state is 'MAYBE', not ENABLED or DISABLED"),
        (flag(variants=[]), "variants is no object with at least one variant"),
        (flag(defaultVariant=7), "defaultVariant is 7, not the name of a variant"),
        (flag(metadata={"a": []}), "metadata is no flat object of texts, numbers and bools"),
        ("on", "it is no object"),
    ],
)
def test_one_bad_flag_is_named_and_the_others_live(definition: Any, why: str) -> None:
    evaluators = {"circle": {"!": {"$ref": "turn"}}, "turn": {"!": {"$ref": "circle"}}}
    read = parse({"bad": definition, "good": flag()}, **{"$evaluators": evaluators})
    assert dict(read.bad) == {"bad": why}
    answer = read.evaluate("bad", {})
    assert (answer.value, answer.variant, answer.reason, answer.error_code) == (None, None, "ERROR", "PARSE_ERROR")
    assert read.evaluate("good", {}).variant == "off"


def test_references_that_multiply_are_bad_and_fast() -> None:
    evaluators: dict[str, Any] = {"e0": True}
    evaluators |= {f"e{n}": {"and": [{"$ref": f"e{n - 1}"}] * 10} for n in range(1, 30)}
    assert "100000 parts" in parse({"f": flag({"if": [{"$ref": "e29"}, "on"]})}, **{"$evaluators": evaluators}).bad["f"]


def test_references_are_put_in_where_they_stand() -> None:
    shared = {"staff": {"in": [{"var": "targetingKey"}, ["u1"]]}}
    read = parse({"f": flag({"if": [{"$ref": "staff"}, "on"]})}, **{"$evaluators": shared})
    assert [read.evaluate("f", {"targetingKey": user}).value for user in ("u1", "u2")] == [True, False]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"flags": 1}',
        '{"flags": {}, "flags": {}}',
        '{"flags": {"f": 1, "f": 2}}',
        '{"flags": {}, "metadata": {"a": {}}}',
        "[" * 100_000,
    ],
)
def test_a_text_that_is_no_set_of_flags_is_refused_whole(text: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        FlagSet.parse(text)
    assert refusal.value.code == "flags-invalid"


def test_a_rule_that_fails_on_a_context_answers_general() -> None:
    answer = parse({"f": flag({"/": [1, {"var": "n"}]})}).evaluate("f", {"n": 0})
    assert (answer.reason, answer.error_code, answer.value) == ("ERROR", "GENERAL", None)


def test_metadata_of_the_flag_stands_over_that_of_the_set() -> None:
    read = parse({"f": flag(metadata={"owner": "web"})}, metadata={"owner": "all", "version": "7"})
    assert dict(read.evaluate("f", {}).metadata) == {"owner": "web", "version": "7"}


def test_a_caller_that_changes_an_object_value_changes_no_other_answer() -> None:
    read = parse({"f": flag(variants={"off": {"a": [1]}})})
    read.evaluate("f", {}).value["a"].append(2)
    assert read.evaluate("f", {}).value == {"a": [1]}


def test_fractional_without_a_targeting_key_answers_the_default() -> None:
    answer = parse({"f": flag({"fractional": [["on", 50], ["off", 50]]})}).evaluate("f", {})
    assert (answer.variant, answer.reason) == ("off", "DEFAULT")


def test_weights_over_the_limit_answer_the_default() -> None:
    split = {"fractional": [{"var": "targetingKey"}, ["on", 2**31 - 1], ["off", 1]]}
    assert parse({"f": flag(split)}).evaluate("f", {"targetingKey": "u"}).reason == "DEFAULT"


@pytest.mark.parametrize("levels", [5, 60, 90])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda r: {"!": [r]},
        lambda r: {"if": [r, "on", "off"]},
        lambda r: {"and": [r, r and True]},
        lambda r: {"cat": [r]},
    ],
)
def test_deep_rules_compile(levels: int, wrap: Any) -> None:
    rule: Any = {"var": "x"}
    for _ in range(levels):
        rule = wrap(rule)
    assert not parse({"f": flag(rule)}).bad


def test_a_rule_nested_without_end_is_bad() -> None:
    rule: Any = True
    for _ in range(400):
        rule = {"!": [rule]}
    assert "f" in parse({"f": flag(rule)}).bad


def test_long_chains_and_many_variants_compile() -> None:
    chain = [part for n in range(2000) for part in ({"==": [{"var": "n"}, n]}, f"v{n}")]
    variants = {f"v{n}": n for n in range(2000)}
    split = {"fractional": [{"var": "n"}, *([name, 1] for name in variants)]}
    read = parse({"chain": flag({"if": chain}, variants=variants), "split": flag(split, variants=variants)})
    assert not read.bad
    assert read.evaluate("chain", {"n": 1999}).value == 1999
    assert read.evaluate("split", {"n": "u"}).reason == "TARGETING_MATCH"


def test_text_of_a_rule_never_becomes_code() -> None:
    evil = "'); raise SystemExit('"
    rule = {"if": [{"==": [{"var": evil}, evil]}, evil, {"var": [evil, evil]}]}
    assert parse({evil: flag(rule, variants={evil: 1}, defaultVariant=evil)}).evaluate(evil, {evil: evil}).value == 1


@pytest.mark.parametrize("bucketing", ["v2", "v3"])
@pytest.mark.parametrize("name", ["{}", "user-{}@shop.example", "00000000-0000-4000-8000-{:012d}"])
def test_buckets_are_even(bucketing: str, name: str) -> None:
    split = {"fractional": [{"var": "targetingKey"}, *([f"v{n}", 1] for n in range(20))]}
    variants = {f"v{n}": n for n in range(20)}
    read = parse({"f": flag(split, variants=variants, defaultVariant="v0")}, bucketing=bucketing)
    counts = [0] * 20
    for n in range(20_000):
        counts[read.evaluate("f", {"targetingKey": name.format(n)}).value] += 1
    assert sum((count - 1000) ** 2 / 1000 for count in counts) < 43.8  # chi-square, 19 degrees of freedom, p = 0.001


def test_the_generations_differ_and_each_is_pinned_by_a_known_user() -> None:
    rule = {"fractional": [{"var": "targetingKey"}, ["on", 50], ["off", 50]]}
    users = [f"user-{n}" for n in range(400)]
    sides = {
        generation: [
            parse({"f": flag(rule)}, bucketing=generation).evaluate("f", {"targetingKey": user}).value for user in users
        ]
        for generation in ("v2", "v3")
    }
    assert sides["v2"] != sides["v3"]
    assert FlagSet.parse('{"flags": {}}', bucketing="v2").version != FlagSet.parse('{"flags": {}}').version


def test_growing_moves_nobody_else() -> None:
    def on(percent: int) -> set[str]:
        read = parse({"f": flag({"fractional": [{"var": "targetingKey"}, ["on", percent], ["off", 100 - percent]]})})
        return {user for user in map(str, range(5000)) if read.evaluate("f", {"targetingKey": user}).value}

    five, twenty_five = on(5), on(25)
    assert five < twenty_five
    assert on(5) == five
