"""The flags of a change as steps."""

import json
from typing import Any

from hitless.app.plan_flags import FlagsNow, FlagsPart
from hitless.app.proposal import Proposal
from hitless.flags.languages import Seen
from hitless.flags.stages import Members, at_stage, canonical
from hitless.flags.steps import Bake, Stage
from hitless.plan.change import read_change
from hitless.plan.system import read_system

SYSTEM = read_system(
    "system: s\ngroups: {staff: {users: [ann]}}\nservices: {web: {run: [a], version: '1'}}", file="hitless.yaml"
)
GROUPS = {"staff": Members(users=("ann",))}


def proposed(flags: str, services: str = "", **now: Any) -> Proposal:
    change = read_change(f"change: c\nflags: {flags}\n{services}", file="c.yaml")
    return FlagsPart(system=SYSTEM, change=change, now=FlagsNow(groups=GROUPS, **now)).propose()


def test_each_stage_is_a_step_with_its_inverse_and_a_watch() -> None:
    steps = proposed("{f: {stages: [staff, 5%, everyone], bake: 3s}}").widen
    assert [type(step) for step in steps] == [Stage, Bake] * 3
    stages = [step for step in steps if isinstance(step, Stage)]
    assert [step.describe() for step in stages] == [
        "flag f: not defined -> staff",
        "flag f: staff -> 5%",
        "flag f: 5% -> everyone",
    ]
    assert [step.before for step in stages[1:]] == [step.after for step in stages[:-1]]
    assert stages[0].inverse().after == ""
    assert {step.bake_s for step in steps if isinstance(step, Bake)} == {3.0}


def test_a_flag_that_exists_keeps_its_variants_and_notes_and_comes_back_letter_by_letter() -> None:
    old = {
        "state": "ENABLED",
        "variants": {"new": True, "old": False},
        "defaultVariant": "old",
        "metadata": {"owner": "x"},
    }
    first = proposed("{f: [5%]}", definitions={"f": canonical(old)}).widen[0]
    assert isinstance(first, Stage)
    assert json.loads(first.after)["metadata"] == {"owner": "x"}
    assert first.inverse().after == canonical(old)


def test_the_cohort_of_the_change_is_compared_by_the_gateways_bucket_and_needs_a_service() -> None:
    flags = "{f: {stages: [5%], cohort: same as change}}"
    shipped = proposed(flags, "services: {web: {to: '2'}}")
    assert not shipped.refusals
    assert "hitlessBucket" in shipped.widen[0].after  # type: ignore[attr-defined]
    assert [each.code for each in proposed(flags).refusals] == ["no-cohort"]


def test_what_cannot_be_is_refused_by_name() -> None:
    node = Seen(name="node", protocol="flagd.sync.v1", agent="grpc-node-js/1", version="v")
    killed = canonical({**at_stage(None, "5%"), "state": "DISABLED"})
    three = canonical({"state": "ENABLED", "variants": {"a": 1, "b": 2, "c": 3}})
    cases = {
        "unknown-group": proposed("{f: [crew, 5%]}"),
        "stages-order": proposed("{f: [50%, 5%]}"),
        "no-baseline": proposed("{f: {stages: [5%], evidence: required}}"),
        "flag-bucketing": proposed("{f: [5%]}", clients=(node,)),
        "flag-killed": proposed("{f: [5%]}", definitions={"f": killed}),
        "flag-not-boolean": proposed("{f: [5%]}", definitions={"f": three}),
    }
    assert {code: [each.code for each in found.refusals] for code, found in cases.items()} == {
        code: [code] for code in cases
    }
    assert not proposed("{f: [staff, everyone]}", clients=(node,)).refusals
