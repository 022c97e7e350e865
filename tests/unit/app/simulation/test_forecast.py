"""A user's own plan is simulated against the system as it runs."""

import dataclasses
import json

import pytest

from hitless.app.simulating import simulated
from hitless.app.simulation.campaign import tally
from hitless.app.simulation.forecast import Forecast
from hitless.app.simulation.shop import facts, plan_of
from hitless.kit.errors import InvalidInput
from hitless.signals.metrics import Metric
from hitless.signals.steps import Watch


@pytest.mark.parametrize("change", ["canary", "whole", "keep"])
def test_a_plan_keeps_its_promises_in_seeded_runs(change: str) -> None:
    found = tally(Forecast.of(plan_of(change), facts()).case_of, range(12))
    assert (found.runs, found.broken) == (12, [])
    assert found.requests > 1000


def test_counters_that_nobody_measures_in_a_world_of_its_own_hold_nothing() -> None:
    plan = plan_of("canary")
    paid = Metric(
        name="paid", source="opentelemetry", by="v", lag_s=1, every_s=1, requests="paid", bad="unpaid", worse=1.0
    )
    steps = [dataclasses.replace(each, metrics=(paid,)) if isinstance(each, Watch) else each for each in plan.steps]
    found = tally(Forecast.of(dataclasses.replace(plan, steps=tuple(steps)), facts()).case_of, range(12))
    assert found.ended["completed"] > 0


def test_a_plan_in_the_wrong_order_is_found_and_its_seed_named() -> None:
    plan = plan_of("blue-green")
    shift = next(step for step in plan.steps if step.kind == "shift")
    wrong = dataclasses.replace(plan, steps=(shift, *(step for step in plan.steps if step is not shift)))
    found = tally(Forecast.of(wrong, facts()).case_of, range(2))
    assert [each["seed"] for each in found.broken] == [0, 1]
    assert "takes requests" in found.broken[0]["broken"]


def test_what_is_handed_over_to_another_process_comes_back_as_it_was() -> None:
    forecast = Forecast.of(plan_of("whole"), facts())
    assert Forecast.from_data(json.loads(json.dumps(forecast.to_data()))) == forecast


async def test_it_runs_in_a_process_of_its_own_and_answers_in_numbers() -> None:
    found = await simulated(plan_of("grow"), facts(), 5)
    assert (found["runs"], found["broken"]) == (5, [])
    assert sum(found["ended"].values()) == 5


@pytest.mark.parametrize("runs", [0, -1, 10_001])
async def test_a_number_of_runs_out_of_bounds_is_refused(runs: int) -> None:
    with pytest.raises(InvalidInput):
        await simulated(plan_of("grow"), facts(), runs)
