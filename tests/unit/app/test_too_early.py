"""Contract is too early while an instance, a row or a variant of a flag needs the old side; each is named."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from hitless.app.facts import Facts, Occupied, ServiceNow
from hitless.app.too_early import ServedSet, by_clients, by_flags, by_instances, by_rows, by_time, concerns_flags
from hitless.database.comparing import Difference, Differing
from hitless.database.steps import Contract
from hitless.flags.flagset import FlagSet
from hitless.flags.plain import plain
from hitless.flags.stages import at_stage
from hitless.kit.errors import Exit, InvalidInput
from hitless.runtime.steps import Launch
from hitless.traffic.steps import Routing

STEP = Contract(database="main", version="0002_x")
OLD = {"needs_schema": "off=main/0001_shop"}


def served(flags: Mapping[str, Any], name: str = "default") -> ServedSet:
    text = json.dumps({"flags": flags})
    return ServedSet(name=name, kept=FlagSet.parse(text), served=FlagSet.parse(plain(text, {}, "v2")))


def said(step: Contract, *sets: ServedSet) -> list[str]:
    found = list(by_flags(step, sets, "default"))
    assert all((each.code, each.exit) == ("contract-too-early", Exit.REFUSED) for each in found)
    return [each.text for each in found]


def test_the_hold_time_of_the_change() -> None:
    (early,) = by_time(1_800_000_000.0, now=1_800_000_000.0 - 3599.5)
    assert early.code == "contract-too-early"
    assert early.text == "the change holds the old side until 2027-01-15 08:00:00 UTC, for another 1h"
    assert list(by_time(1_800_000_000.0, now=1_800_000_000.0)) == list(by_time(None, now=0.0)) == []


@pytest.mark.parametrize(("schema", "early"), [("0001_shop", True), (None, True), ("0002_x", False)])
def test_an_instance_on_the_old_schema_version(schema: str | None, early: bool) -> None:
    launch = Launch(service="orders", version="1.0", run=("o",), cwd="/", database="main", schema=schema)
    now = ServiceNow(
        routing=Routing(service="orders", baseline="a"), slots={"a": Occupied(launch=launch, numbers=(1, 2))}
    )
    facts = Facts(
        services={"orders": now}, requests_per_s={}, long_connections={}, resident_bytes={}, available_bytes=0
    )
    found = list(by_instances(STEP, facts))
    assert bool(found) is early
    if early:
        assert found[0].code == "contract-too-early"
        assert 'main" still serves orders 1.0 (2 instances)' in found[0].text


@pytest.mark.parametrize(
    ("stage", "early"), [("off", True), ("1%", True), ("99.99%", True), ("everyone", False), ("100%", False)]
)
def test_a_variant_of_any_flag_that_says_it_needs_the_old_schema_version(stage: str, early: bool) -> None:
    flag = {**at_stage(None, stage), "metadata": OLD}
    found = said(STEP, served({"beta": at_stage(None, "1%"), "whole-name": flag}))
    assert found == (
        ['flag whole-name still gives variant "off" to users, and variant "off" needs 0001_shop of "main"']
        if early
        else []
    )
    assert said(Contract(database="other", version="0002_x"), served({"f": flag})) == []
    assert said(Contract(database="main", version="0001_shop"), served({"f": flag})) == []


def test_a_killed_flag_gives_the_callers_own_default_which_may_be_any() -> None:
    killed = {**at_stage(None, "everyone"), "state": "DISABLED", "metadata": OLD}
    assert said(STEP, served({"f": killed})) == [
        'flag f still gives the caller\'s own default to users, and variant "off" needs 0001_shop of "main"'
    ]


def test_a_flag_of_another_set_counts_too_and_is_called_by_it() -> None:
    flag = {**at_stage(None, "off"), "metadata": OLD}
    assert said(STEP, served({}), served({"f": flag}, "shop@staging"))[0].startswith("flag f of set shop@staging still")


@pytest.mark.parametrize(
    ("definition", "why"),
    [
        (at_stage(None, "everyone"), None),
        (at_stage(None, "50%"), 'variant "on" and variant "off"'),
        (at_stage(None, "off"), 'variant "off"'),
        ({**at_stage(None, "everyone"), "state": "DISABLED"}, "the caller's own default"),
        (None, "the caller's own default"),
    ],
)
def test_a_flag_of_the_change_must_stand_at_everyone(definition: dict[str, Any] | None, why: str | None) -> None:
    step = Contract(database="main", version="0002_x", flags=("new-names",))
    found = said(step, served({} if definition is None else {"new-names": definition}))
    still = why.removeprefix('variant "on" and ') if why else None
    assert found == ([f"flag new-names does not stand at everyone: users still get {still}"] if why else [])


def test_a_flag_that_requires_one_that_is_off_does_not_stand_at_everyone() -> None:
    step = Contract(database="main", version="0002_x", flags=("second",))
    second = {**at_stage(None, "everyone"), "metadata": {"requires": "first"}}
    assert said(step, served({"first": at_stage(None, "5%"), "second": second})) != []
    assert said(step, served({"first": at_stage(None, "everyone"), "second": second})) == []


def test_a_declaration_that_cannot_be_read_lets_nothing_through() -> None:
    flag = {**at_stage(None, "everyone"), "metadata": {"needs_schema": "off"}}
    with pytest.raises(InvalidInput, match="needs the schema 'off'"):
        said(STEP, served({"f": flag}))


def test_flags_and_their_clients_are_asked_for_only_where_one_concerns_the_database() -> None:
    assert not concerns_flags(STEP, [served({"f": at_stage(None, "5%")})])
    assert concerns_flags(STEP, [served({"f": {**at_stage(None, "everyone"), "metadata": OLD}})])
    assert concerns_flags(Contract(database="main", version="0002_x", flags=("f",)), [served({})])
    (late,) = by_clients(["web-1"])
    assert late.text == "1 clients do not have the flags yet as they are served: web-1"
    assert list(by_clients([])) == []


def test_rows_that_differ_are_counted_and_named_without_their_values_which_are_the_users_data() -> None:
    rows = tuple(Difference(table="people", key=(str(n), "b"), said="loud is 'x', should be 'N7'") for n in range(7))
    (early,) = by_rows(STEP, Differing(listed=rows[:2], total=2))
    assert early.code == "contract-too-early"
    assert early.text == 'both sides of "main" differ in 2 rows: people 0/b, people 1/b'
    (early,) = by_rows(STEP, Differing(listed=rows, total=9000, at_least=True))
    assert early.text.startswith('both sides of "main" differ in at least 9000 rows: people 0/b, ')
    assert early.text.count("people") == 5
    assert list(by_rows(STEP, Differing())) == []
