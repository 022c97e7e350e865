"""Which variants somebody can get of a flag is read from its rule; where that does not show it, all of them count."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitless.flags.flagset import FlagSet
from hitless.flags.plain import plain
from hitless.flags.reach import OWN_DEFAULT, in_reach, needs
from hitless.flags.stages import Members, at_stage
from hitless.kit.errors import InvalidInput

GROUPS = {"staff": Members(users=("ann",), email="*@shop.example"), "nobody": Members()}
BASE = {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off"}
BOTH, ANYBODY = {"on", "off"}, {"on", "off", OWN_DEFAULT}


@pytest.mark.parametrize(
    ("stage", "group", "reached"),
    [
        ("off", "", {"off"}),
        ("staff", "staff", BOTH),
        ("nobody", "nobody", BOTH),
        ("5%", "", BOTH),
        ("5%", "staff", BOTH),
        ("everyone", "", {"on"}),
        ("everyone", "staff", {"on"}),
        ("100%", "staff", {"on"}),
    ],
)
@pytest.mark.parametrize("cohort", ["own", "change"])
def test_a_stage_shows_who_gets_what(stage: str, group: str, reached: set[str], cohort: Any) -> None:
    flag = at_stage(None, stage, group=group, groups=GROUPS, cohort=cohort)
    assert in_reach(flag) <= reached | ({"off"} if group == "nobody" else set())
    assert "off" in in_reach(flag) or reached == {"on"}


@pytest.mark.parametrize(
    ("rule", "reached"),
    [
        (None, {"off"}),
        ({"if": [{"==": [1, "1"]}, "off", "on"]}, BOTH),  # equal to JSON Logic, not to Python
        ({}, {"off"}),
        ({"if": [True, "on", "off"]}, {"on"}),
        ({"if": [{"==": [{"var": "email"}, "x"]}, "on"]}, BOTH),  # without an else: the default variant
        ({"if": [False, "on", {"==": [1, 2]}, "on", "off"]}, {"off"}),
        ({"if": [{"and": [True, {"==": ["on", "on"]}]}, "on", "off"]}, {"on"}),
        ({"if": [{"or": [False, {"in": [{"var": "targetingKey"}, []]}]}, "on", "off"]}, {"off"}),
        (
            {"if": [{"var": "targetingKey"}, {"fractional": [["on", 100], ["off", 0]]}, "on"]},
            BOTH,
        ),  # no name: the default
        ({"fractional": [{"var": "email"}, ["on"], ["off"]]}, BOTH),
        ({"var": "favourite"}, ANYBODY),
        ("gone", {OWN_DEFAULT}),
        ({"$ref": "staff"}, ANYBODY),
    ],
)
def test_a_rule_shows_what_it_can_answer(rule: Any, reached: set[str]) -> None:
    assert in_reach({**BASE, "targeting": rule}) == reached


def test_a_flag_that_is_killed_gives_everybody_the_callers_own_default() -> None:
    assert in_reach({**BASE, "state": "DISABLED"}) == {OWN_DEFAULT}
    assert in_reach({**BASE, "defaultVariant": None}) == {OWN_DEFAULT}
    assert in_reach({**BASE, "variants": {"true": True, "false": False}, "targeting": {"if": [True, True]}}) == {"true"}


@pytest.mark.parametrize(("first", "reached"), [("everyone", {"on"}), ("5%", BOTH), ("off", {"off"})])
def test_a_flag_that_requires_another_is_at_everyone_only_with_it(first: str, reached: set[str]) -> None:
    second = {**at_stage(None, "everyone"), "metadata": {"requires": "first"}}
    document = json.dumps({"flags": {"first": at_stage(None, first), "second": second}})
    served = FlagSet.parse(plain(document, GROUPS, "v2"), "v2")
    assert in_reach(served.definitions["second"]) == reached


leaves = st.sampled_from(["on", "off", None, True, False, {"var": "email"}, {"==": [{"var": "email"}, "x"]}])
rules = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=5).map(lambda branches: {"if": branches}),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"and": parts}),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"or": parts}),
        st.tuples(inner, inner).map(lambda pair: {"==": list(pair)}),
        st.tuples(inner, inner).map(lambda pair: {"fractional": [[pair[0], 3], [pair[1], 7]]}),
    ),
    max_leaves=12,
)


@given(rules, st.sampled_from([{}, {"targetingKey": "u1"}, {"targetingKey": "u2", "email": "x"}, {"email": "on"}]))
def test_whatever_anybody_gets_was_in_reach(rule: Any, context: dict[str, str]) -> None:
    flag = {**BASE, "targeting": rule}
    flags = FlagSet.parse(json.dumps({"flags": {"f": flag}}))
    if flags.bad:
        return
    answer = flags.evaluate("f", context)
    assert (answer.variant or OWN_DEFAULT) in in_reach(flag)


def test_what_variants_need_is_read_and_a_broken_text_is_named() -> None:
    told = {**BASE, "metadata": {"needs_schema": "off=main/0001_shop, on = main/0002_split_name"}}
    assert list(needs("f", told)) == [("off", "main", "0001_shop"), ("on", "main", "0002_split_name")]
    assert list(needs("f", BASE)) == []
    for broken in ("off", "gone=main/0001_shop", "off=main", "off=/0001_shop", "off=main/", True):
        with pytest.raises(InvalidInput) as refused:
            list(needs("f", {**BASE, "metadata": {"needs_schema": broken}}))
        assert refused.value.code == "flag-needs-schema"
