"""A little of what tests/simulation does at length, so that a broken engine is noticed within seconds."""

import pytest

from hitless.app.simulation.chance import case_of, run_case
from hitless.app.simulation.explore import boundaries
from hitless.app.simulation.shop import plan_of, setting_of


@pytest.mark.parametrize("change", ["grow", "flag"])
def test_every_boundary_of_a_short_plan(change: str) -> None:
    for found in boundaries(setting_of(change), plan_of(change)):
        assert not found.outcome.broken, f"{found.case}: {found.outcome.broken[0]}"


@pytest.mark.parametrize("seed", range(0, 60, 10))
def test_a_few_seeds(seed: int) -> None:
    for number in range(seed, seed + 10):
        case = case_of(number)
        outcome = run_case(case, number)
        again = f"python -m hitless.app.simulation --seed {number}"
        assert not outcome.broken, f"{again}: {case.describe()}: {outcome.broken[0]}"
