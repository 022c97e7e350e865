"""What is wrong with `guards:` is said in one sentence that has the value, and what to write instead."""

import pytest

from hitless.kit.errors import InvalidInput
from hitless.plan.change import read_change

PROMETHEUS = "url: 'http://prometheus:9090'"


def refused(guards: str) -> InvalidInput:
    with pytest.raises(InvalidInput) as raised:
        read_change(f"change: c\nservices: {{ orders: {{ to: '2' }} }}\nguards: {{ {guards} }}\n", file="c.yaml")
    return raised.value


@pytest.mark.parametrize(
    ("guards", "text", "hint"),
    [
        ("errors: 2x", "guards.errors must be a mapping of keys, not '2x'", "keys that it knows: worse, by"),
        ("errors: off", "guards.errors must be a mapping of keys, not False", "keys that it knows: worse, by"),
        ("errors: { by: group }", "guards.errors.by must be 'users' or 'groups', not 'group'", "did you mean groups?"),
        ("crashes: { limit: 0 }", "guards.crashes.limit must be at least 1, not 0", ""),
        ("crashes: { limit: many }", "guards.crashes.limit must be a whole number, not 'many'", ""),
        ("placebo: perhaps", "guards.placebo must be true or false, not 'perhaps'", ""),
        ("errors: { worse: 1_0x }", "guards.errors.worse: '1_0x' is no ratio like 2x or 1.25x", ""),
        ("warm_up: 2h", "guards: warm_up is at most 1h, not 2h", ""),
        ("business: { at: orders, within: 2d }", "guards.business: within is from 1s to 1d, not 2d", ""),
        (
            f"metrics: {{ m: {{ {PROMETHEUS}, requests: a, bad: b, lag: 1h }} }}",
            "guards.metrics.m: every is from 1s to 10m, and lag at most 10m, not every: 15s, lag: 1h",
            "",
        ),
        (
            f"metrics: {{ m: {{ {PROMETHEUS}, requests: ' ', bad: b }} }}",
            "guards.metrics.m.requests: ' ' is no query",
            "",
        ),
        (
            f"saturation: {{ {PROMETHEUS}, load: a, by: '' }}",
            "guards.saturation.by: '' is no name of a label",
            "",
        ),
    ],
)
def test_a_wrong_value_is_told_with_what_may_stand_there(guards: str, text: str, hint: str) -> None:
    error = refused(guards)
    assert (error.text, error.hint) == (f"c.yaml:3: {text}", hint)


@pytest.mark.parametrize(
    "guard", ["saturation: {{ {0}, load: a }}", "metrics: {{ m: {{ {0}, requests: a, bad: b }} }}"]
)
def test_a_password_of_those_who_measure_is_not_repeated(guard: str) -> None:
    error = refused(guard.format("url: 'http://ann:s3cret@prometheus:9090'"))
    assert "s3cret" not in f"{error}"
    assert "name a variable that holds the url: env:NAME" in error.text


@pytest.mark.parametrize(
    "part", ["services: {{ orders: {{ to: '2', {0} }} }}", "flags: {{ f: {{ stages: [5%], {0} }} }}"]
)
def test_a_step_that_would_go_back_before_anybody_can_have_been_counted_is_refused(part: str) -> None:
    with pytest.raises(InvalidInput, match="no_evidence is at least 5s, not 1s"):
        read_change(f"change: c\n{part.format('no_evidence: 1s')}\n", file="c.yaml")
    read_change(f"change: c\n{part.format('no_evidence: 5s')}\n", file="c.yaml")
