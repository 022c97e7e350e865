"""Edits of one flag as data, who gets what in words, and flags that have had their time."""

import json
from typing import Any

import pytest

from hitless.flags.bundle import SetText, merged, read_bundle, version_of, write_bundle
from hitless.flags.edits import Wish
from hitless.flags.stages import Members, at_stage, canonical, serves
from hitless.flags.stale import stale
from hitless.kit.errors import InvalidInput

STAFF = {"staff": Members(users=("ann",))}
FLAG = {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off"}
DAY = 86_400.0


def edited(before: dict[str, Any] | None, **wish: Any) -> Any:
    after = Wish.read(wish).apply("f", canonical(before), STAFF)
    return json.loads(after) if after else None


def test_a_kill_leaves_the_rule_for_the_day_it_is_revived() -> None:
    before = at_stage(None, "5%")
    killed = edited(before, killed=True)
    assert killed == before | {"state": "DISABLED"}
    assert edited(killed, killed=False) == before


def test_a_variant_for_everybody_takes_the_rule_away() -> None:
    assert edited(at_stage(None, "5%"), variant="on") == FLAG | {"defaultVariant": "on"}


def test_a_stage_makes_a_flag_that_nobody_defined() -> None:
    assert edited(None, stage="5%", group="staff") == at_stage(None, "5%", group="staff", groups=STAFF)
    assert edited(None, stage="staff") == at_stage(None, "staff", group="staff", groups=STAFF)


def test_notes_are_set_one_by_one_and_taken_away_by_an_empty_one() -> None:
    noted = edited(FLAG, owner="ann", expires="2027-01-31")
    assert noted["metadata"] == {"owner": "ann", "expires": "2027-01-31"}
    assert edited(noted, owner="")["metadata"] == {"expires": "2027-01-31"}


def test_what_was_read_is_written_and_read_again() -> None:
    wish = Wish.read({"stage": "5%", "group": "staff", "owner": "ann"})
    assert Wish.read(wish.to_data()) == wish


@pytest.mark.parametrize(
    ("before", "wish"),
    [
        (None, {"killed": True}),
        (None, {"remove": True}),
        (FLAG, {"variant": "blue"}),
        (FLAG, {"stage": "crew"}),
        (FLAG, {"stage": "5%", "group": "crew"}),
        (FLAG, {"stage": "5%", "variant": "on"}),
        (FLAG, {"colour": "blue"}),
        (FLAG, {"killed": "yes"}),
        (FLAG, {"expires": "soon"}),
        (FLAG, {"cohort": "other"}),
        (FLAG, {}),
    ],
)
def test_an_edit_that_makes_no_sense_is_refused(before: dict[str, Any] | None, wish: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        edited(before, **wish)


@pytest.mark.parametrize("name", ["", "a/b", "x" * 201, "a\nb"])
def test_a_name_that_no_address_can_hold_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        Wish(stage="5%").apply(name, "", {})


@pytest.mark.parametrize(
    ("definition", "said"),
    [
        (at_stage(None, "5%"), "'on' for 5% of users"),
        (at_stage(None, "5%", group="staff", groups=STAFF), "'on' for group and 5% of users"),
        (at_stage(None, "5%", cohort="change"), "'on' for 5% of users, the cohort of the change"),
        (at_stage(None, "staff", group="staff", groups=STAFF), "'on' for the group alone"),
        (at_stage(None, "everyone"), "'on' for everybody"),
        (at_stage(None, "off"), "'off' for everybody"),
        (FLAG, "'off' for everybody"),
        (FLAG | {"state": "DISABLED"}, "killed: every client's own default"),
        (FLAG | {"targeting": {"if": [{"var": "x"}, "on"]}}, "by its rule, else 'off'"),
    ],
)
def test_who_gets_what_is_said_in_words(definition: dict[str, Any], said: str) -> None:
    assert serves(definition) == said


def test_a_flag_is_stale_after_its_day_or_when_everybody_has_long_had_the_same() -> None:
    flags = {
        "expired": FLAG | {"metadata": {"owner": "ann", "expires": "1970-02-01"}},
        "settled": at_stage(None, "everyone"),
        "killed": FLAG | {"state": "DISABLED"},
        "young": at_stage(None, "everyone"),
        "at work": at_stage(None, "5%"),
        "never edited": FLAG,
    }
    edited_at = {"settled": 0.0, "killed": 0.0, "at work": 0.0, "young": 50 * DAY}
    found = {each.flag: each.why for each in stale(json.dumps({"flags": flags}), edited_at, now=60 * DAY)}
    assert found == {
        "expired": "expired on 1970-02-01",
        "settled": "everybody gets 'on', unchanged for 60 days",
        "killed": "switched off for everybody, unchanged for 60 days",
    }


def text_of(name: str, bucketing: Any = "v3", **flags: Any) -> SetText:
    return SetText(name=name, bucketing=bucketing, text=json.dumps({"flags": flags}))


def test_a_bundle_is_read_as_it_was_written_and_names_its_content() -> None:
    sets = (text_of("default", f=FLAG), text_of("default@staging", "v2", g=FLAG))
    read = read_bundle(write_bundle(sets))
    assert {name: (each.text, each.bucketing) for name, each in read.items()} == {
        each.name: (each.text, each.bucketing) for each in sets
    }
    assert version_of(read) == version_of(read_bundle(write_bundle(sets)))
    assert version_of(read) != version_of(read_bundle(write_bundle((sets[0], text_of("default@staging", g=FLAG)))))


def test_an_environment_and_another_generation_must_be_selected() -> None:
    sets = (text_of("default", f=FLAG), text_of("more", g=FLAG), text_of("old", "v2", h=FLAG), text_of("x@y", i=FLAG))
    assert merged(read_bundle(write_bundle(sets))).keys == ("f", "g")


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"sets": [{"name": "x"}]}', '{"sets": [1]}'])
def test_a_broken_bundle_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        read_bundle(text)
