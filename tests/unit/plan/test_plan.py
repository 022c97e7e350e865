"""A plan is data: it survives JSON, and whatever is not whole is refused."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitless.kit.errors import InvalidInput
from hitless.kit.units import Share
from hitless.plan.instances import InstanceId, Slot
from hitless.plan.plan import Plan, Refusal
from hitless.plan.step import Step
from hitless.runtime.steps import Check, Launch, Start, Stop
from hitless.signals.steps import Watch
from hitless.traffic.steps import Admit, Drain, Routing, Shift

KINDS: dict[str, type[Any]] = {kind.kind: kind for kind in (Start, Stop, Check, Admit, Drain, Shift, Watch)}

names = st.from_regex(r"[a-z][a-z0-9_]{0,10}", fullmatch=True)
versions = st.from_regex(r"[0-9]\.[0-9]", fullmatch=True)
slots: st.SearchStrategy[Slot] = st.sampled_from(("a", "b"))
numbers = st.lists(st.integers(1, 32), min_size=1, max_size=4, unique=True).map(tuple)
seconds = st.floats(0, 1e6, allow_nan=False)
words = st.lists(st.text(max_size=10), min_size=1, max_size=4).map(tuple)
shares = st.integers(0, 10_000).map(Share)
launches = st.builds(
    Launch,
    service=names,
    version=versions,
    run=words,
    cwd=st.text(max_size=10),
    env=st.lists(st.tuples(names, st.text(max_size=10)), max_size=3).map(tuple),
    ready_timeout_s=seconds,
    grace_s=seconds,
)
routings = st.builds(
    Routing,
    service=names,
    baseline=slots,
    share=shares,
    salt=names,
    group=names,
    version_a=versions,
    version_b=versions,
)
steps: st.SearchStrategy[Step] = st.one_of(
    st.builds(Start, slot=slots, numbers=numbers, launch=launches),
    st.builds(Stop, slot=slots, numbers=numbers, launch=launches, keep_s=seconds),
    st.builds(Check, service=names, slot=slots, command=words, cwd=st.text(max_size=10), timeout_s=seconds),
    st.builds(Admit, service=names, slot=slots, numbers=numbers, drain_s=st.none() | seconds),
    st.builds(Drain, service=names, slot=slots, numbers=numbers, drain_s=st.none() | seconds),
    st.builds(Shift, before=routings, after=routings),
    st.builds(
        Watch,
        service=names,
        baseline=slots,
        canary=slots,
        share=shares,
        group=names,
        bake_s=seconds,
        no_evidence_s=seconds,
        evidence=st.sampled_from(("observed", "required", "none")),
    ),
)
refusals = st.builds(Refusal, code=names, text=st.text(max_size=20), hint=st.text(max_size=20))
plans = st.builds(
    Plan,
    change=names,
    why=st.text(max_size=20),
    source=st.text(max_size=50),
    claims=st.lists(names, max_size=3).map(tuple),
    steps=st.lists(steps, max_size=6).map(tuple),
    refusals=st.lists(refusals, max_size=2).map(tuple),
    remarks=st.lists(st.text(max_size=20), max_size=2).map(tuple),
)


@given(plans)
def test_a_plan_reads_back_from_json_as_it_was_written(plan: Plan) -> None:
    assert Plan.from_json(json.loads(json.dumps(plan.to_json())), KINDS) == plan


@given(steps)
def test_undoing_what_was_undone_is_the_step_itself(step: Step) -> None:
    inverse = step.inverse()
    if inverse is not None and not (isinstance(step, Stop) and step.keep_s):  # a stop after a while is undone at once
        assert inverse.inverse() == step


@given(steps)
def test_what_cannot_be_undone_changes_nothing(step: Step) -> None:
    assert (step.inverse() is None) == isinstance(step, Check | Watch)
    assert step.describe()


@given(plan=plans, data=st.data())
def test_a_half_written_plan_is_refused(plan: Plan, data: st.DataObject) -> None:
    plain = json.loads(json.dumps(plan.to_json()))
    del plain[data.draw(st.sampled_from(sorted(plain)))]
    with pytest.raises(InvalidInput, match="plan"):
        Plan.from_json(plain, KINDS)


PLAN = Plan(
    change="faster",
    why="",
    source="",
    claims=("orders",),
    steps=(
        Admit(service="orders", slot="b", numbers=(1, 2)),
        Drain(service="orders", slot="a", numbers=(1,), drain_s=3),
    ),
)


def broken(**changes: object) -> dict[str, Any]:
    plain = json.loads(json.dumps(PLAN.to_json()))
    plain["steps"][0]["step"].update(changes)
    return plain  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "changes",
    [
        {"numbers": [1, 2, 3]},
        {"service": "accounts"},
        {"slot": "c"},
        {"numbers": "1"},
        {"kind": "drain"},
        {"kind": "explode"},
        {"extra": 1},
        {"numbers": None},
    ],
)
def test_a_plan_changed_by_hand_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        Plan.from_json(broken(**changes), KINDS)


@pytest.mark.parametrize(
    "plain",
    [
        {},
        {"steps": 1},
        {**PLAN.to_json(), "steps": None},
        {**PLAN.to_json(), "steps": [None]},
        {**PLAN.to_json(), "steps": [{}]},
    ],
)
def test_what_is_no_plan_is_refused(plain: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        Plan.from_json(plain, KINDS)


def test_the_hash_of_a_plan_follows_its_steps() -> None:
    same = Plan(change="faster", why="else", source="else", claims=(), steps=PLAN.steps)
    other = Plan(change="faster", why="", source="", claims=("orders",), steps=PLAN.steps[:1])
    assert PLAN.hash == same.hash
    assert PLAN.hash != other.hash


@given(names, slots, st.integers(1, 99))
def test_the_name_of_an_instance_reads_back(service: str, slot: Slot, number: int) -> None:
    instance = InstanceId(service, slot, number)
    assert InstanceId.parse(str(instance)) == instance


@pytest.mark.parametrize(
    "text", ["", "orders", "orders-c1", "orders-a0", "orders-a100", "Orders-a1", "orders-a1\n", "-a1"]
)
def test_what_names_no_instance_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="names no instance"):
        InstanceId.parse(text)
