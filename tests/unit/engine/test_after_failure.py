"""What follows from a step that failed, as the plan says."""

import pytest

from hitless.engine.executor import after_failure
from hitless.engine.journal import Fact, Finished, Held, TurnedBack, Withheld
from hitless.kit.units import Share
from hitless.plan.change import OnFailure
from hitless.plan.plan import Plan
from hitless.plan.ports import StepFailed
from hitless.runtime.steps import Launch, Start
from hitless.signals.steps import Watch

START = Start(slot="b", numbers=(1,), launch=Launch(service="orders", version="2", run=("orders",), cwd="/"))
WATCH = Watch(service="orders", baseline="a", canary="b", share=Share(500))
FAILED = StepFailed("worse", "2 % against 0.1 %")


def facts(on_failure: OnFailure, position: int, *, gate: int | None = None) -> list[type[Fact]]:
    plan = Plan(change="c", why="", source="", claims=(), steps=(START, WATCH, WATCH), gate=gate, on_failure=on_failure)
    return [type(fact) for fact in after_failure(plan, position, FAILED)]


@pytest.mark.parametrize("position", [0, 1])
def test_by_default_the_run_turns_back(position: int) -> None:
    assert facts("take back", position) == [TurnedBack]


@pytest.mark.parametrize("position", [0, 1])
def test_a_frozen_run_waits_for_a_person(position: int) -> None:
    assert facts("freeze", position) == [Held]


def test_a_run_goes_on_over_a_verdict_but_not_over_a_step_that_is_not_there() -> None:
    assert Finished in facts("go on", 1)
    assert facts("go on", 0) == [Held]


@pytest.mark.parametrize("on_failure", ["take back", "freeze", "go on"])
def test_behind_the_gate_nothing_was_done_and_the_run_stands_at_the_gate(on_failure: OnFailure) -> None:
    assert facts(on_failure, 2, gate=2) == [Withheld]
