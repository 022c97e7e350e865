"""The change file: stages grow up to everybody, everything else is refused with its line."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hitless.kit.errors import InvalidInput
from hitless.kit.units import Share
from hitless.plan.change import read_change


def with_orders(section: str) -> str:
    return f"change: faster-orders\nservices:\n  orders: {{ {section} }}\n"


def refusal(text: str) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        read_change(text, file="change.yaml")
    return caught.value


def answer(text: str) -> str:
    """Read a change; return what it was refused with, or the name of the file."""
    try:
        read_change(text, file="c")
    except InvalidInput as error:
        return error.text
    return "c: fine"


def test_a_change_is_read_with_its_defaults() -> None:
    orders = read_change(with_orders('to: "1.1", steps: [staff, 1%, 100%]'), file="c").services["orders"]
    assert orders.steps == ("staff", Share(100), Share(10_000))
    assert (orders.bake, orders.keep, orders.evidence, orders.no_evidence) == (10, 0, "observed", 600)
    assert orders.ships


def test_another_number_of_instances_ships_nothing() -> None:
    assert not read_change(with_orders("instances: 3"), file="c").services["orders"].ships


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ('to: "2", steps: [5%, 1%, 100%]', "steps must grow"),
        ('to: "2", steps: [5%, 5%, 100%]', "steps must grow"),
        ('to: "2", steps: [0%, 100%]', "steps must grow"),
        ('to: "2", steps: []', "steps must grow"),
        ('to: "2", steps: [staff]', "steps must grow"),
        ('to: "2", steps: [1%, 101%]', "over 100%"),
        ('to: "2", steps: [1%, 50%]', "it must be 100%"),
        ('to: "2", steps: [1%, staff, 100%]', "a group can only be the first step"),
        ('to: "2", steps: ["staff\\n", 100%]', "no group"),
        ('to: "2", steps: [0.001%, 100%]', "no percentage"),
        ('to: "2", steps: [1, 100%]', "no share"),
        ('to: "2", strategy: rolling, steps: [100%]', "belong to a canary"),
        ('to: "2", bake: 10', "no duration"),
        ('to: "2", bake: -1s', "no duration"),
        ('to: "two words"', "no version"),
        ('to: "../../etc"', "no version"),
        ('to: "2\\n"', "no version"),
        ("to: 2", "must be a text"),
        ('to: "2", strategy: yolo', "strategy"),
        ('to: "2", evidence: maybe', "evidence"),
        ('to: "2", env: { "A B": x }', "no name of an environment variable"),
        ("instances: 3.0", "instances"),
        ("instances: true", "instances"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_line(section: str, says: str) -> None:
    error = refusal(with_orders(section))
    assert error.text.startswith("change.yaml:3: "), error.text
    assert says in error.text


def test_an_unknown_key_is_named_with_its_line_and_a_near_one() -> None:
    error = refusal(with_orders('to: "2", strategie: canary'))
    assert (error.code, error.hint) == ("unknown-key", "did you mean strategy?")


@given(st.sets(st.integers(1, 9_999), max_size=12))
def test_any_growing_row_of_shares_is_read_back_as_written(buckets: set[int]) -> None:
    stages = [*(Share(each) for each in sorted(buckets)), Share(10_000)]
    read = read_change(with_orders(f'to: "2", steps: [{", ".join(map(str, stages))}]'), file="c")
    assert read.services["orders"].steps == tuple(stages)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_but_never_breaks_the_reader(text: str) -> None:
    assert answer(text).startswith("c:")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=8,
    )
)
def test_any_plain_value_in_any_place_is_read_or_refused(value: object) -> None:
    text = yaml.safe_dump({"change": "x", "services": {"orders": {"to": "2", "steps": value, "env": value}}})
    assert answer(text).startswith("c:")
