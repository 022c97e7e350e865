"""Prerequisites and groups as ordinary rules: every client understands them, none can tell."""

import json
from typing import Any

import pytest

from hitless.flags import FlagSet
from hitless.flags.bucketing import Bucketing
from hitless.flags.plain import plain
from hitless.flags.stages import Members, at_stage
from hitless.kit.errors import InvalidInput

GROUPS = {"staff": Members(users=("ann",), email="*@shop.example")}
USERS = [{"targetingKey": f"user-{n}"} for n in range(500)]


def flag(default: str = "on", **more: Any) -> dict[str, Any]:
    return {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": default, **more}


def served(flags: dict[str, Any], bucketing: Bucketing = "v3", **more: Any) -> FlagSet:
    read = FlagSet.parse(plain(json.dumps({"flags": flags, **more}), GROUPS, bucketing), bucketing)
    assert not read.bad, read.bad
    return read


def requiring(what: str, **more: Any) -> dict[str, Any]:
    return flag(metadata={"requires": what}, **more)


def test_a_set_that_uses_neither_is_served_letter_by_letter() -> None:
    text = '{ "flags": {"f": ' + json.dumps(flag()) + "}}\n"
    assert plain(text, GROUPS, "v3") == text


@pytest.mark.parametrize(
    ("other", "value"),
    [
        (flag("on"), True),
        (flag("off"), False),
        (flag("on", state="DISABLED"), False),
        (flag("off", targeting={"if": [True, "on", "off"]}), True),
        (flag("on", targeting={"if": [False, "off"]}), True),
        (requiring("third"), False),
    ],
)
def test_a_flag_is_on_only_where_what_it_requires_is(other: dict[str, Any], value: bool) -> None:
    read = served({"f": requiring("other"), "other": other, "third": flag("off")})
    assert read.evaluate("f", {"targetingKey": "u"}).value is value


def test_a_variant_can_be_required_and_a_flag_without_a_false_variant_falls_back_to_the_callers_default() -> None:
    theme = {"state": "ENABLED", "variants": {"dark": "d", "light": "l"}, "defaultVariant": "dark"}
    banner = {**theme, "metadata": {"requires": "theme=light"}}
    answer = served({"theme": theme, "banner": banner}).evaluate("banner", {})
    assert (answer.value, answer.variant, answer.error_code) == (None, None, None)
    assert served({"theme": {**theme, "defaultVariant": "light"}, "banner": banner}).evaluate("banner", {}).value == "d"


@pytest.mark.parametrize("bucketing", ["v2", "v3"])
def test_the_users_of_a_required_stage_are_those_of_the_required_flag(bucketing: Bucketing) -> None:
    flags = {"f": requiring("other"), "other": at_stage(None, "30%")}
    read = served(flags, bucketing)
    assert all(read.evaluate("f", user).value == read.evaluate("other", user).value for user in USERS)
    assert 0 < sum(bool(read.evaluate("f", user).value) for user in USERS) < len(USERS)


def test_the_short_form_of_fractional_is_spelled_out_where_that_keeps_its_users() -> None:
    flags = {"f": requiring("other"), "other": flag(targeting={"fractional": [["on", 30], ["off", 70]]})}
    read = served(flags, "v2")
    assert all(read.evaluate("f", user).value == read.evaluate("other", user).value for user in USERS)
    with pytest.raises(InvalidInput, match="bucket key"):
        served(flags, "v3")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"f": requiring("gone")}, "no flag"),
        ({"f": requiring("f")}, "each other"),
        ({"f": requiring("g"), "g": requiring("f")}, "each other"),
        ({"f": requiring("g=blue"), "g": flag()}, "no variant"),
        ({"f": flag(metadata={"requires": 7})}, "no text"),
        ({"f": requiring(",".join("abcdefghijkl"))}, "at most"),
    ],
)
def test_what_cannot_be_required_is_refused(flags: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match="require") as refusal:
        served(flags)
    assert said in f"{refusal.value.text} {refusal.value.hint}"


def test_a_group_of_the_system_is_a_segment_unless_the_set_has_one_of_that_name() -> None:
    flags = {"f": flag("off", targeting={"if": [{"$ref": "staff"}, "on", "off"]})}
    read = served(flags)
    assert read.evaluate("f", {"targetingKey": "ann"}).value is True
    assert read.evaluate("f", {"targetingKey": "x", "email": "a@shop.example"}).value is True
    assert read.evaluate("f", {"targetingKey": "x"}).value is False
    own = {"$evaluators": {"staff": {"==": [1, 1]}}}
    assert served(flags, **own).evaluate("f", {"targetingKey": "x"}).value is True
