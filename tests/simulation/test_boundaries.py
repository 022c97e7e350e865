"""Every boundary and every touch of every kind of change: whatever happens there, the run ends whole."""

from collections import Counter
from collections.abc import Iterator
from itertools import chain

import pytest

from hitless.app.simulation.explore import Found, aborts, boundaries, touches
from hitless.app.simulation.faults import Fault
from hitless.app.simulation.shop import CHANGES, plan_of, setting_of

KILLS = (Fault(kind="kill"), Fault(kind="kill", after=True))
OTHERS = (Fault(kind="fail", after=True), Fault(kind="pause", seconds=4.0))


def ends(cases: Iterator[Found], *allowed: str) -> Counter[str]:
    """Count how the cases ended; the first that broke a promise fails the test, by its name."""
    ended: Counter[str] = Counter()
    for found in cases:
        assert not found.outcome.broken, f"{found.case}: {found.outcome.broken[0]}"
        assert found.outcome.states[0] in allowed, f"{found.case}: ended {found.outcome.states[0]}"
        ended[found.outcome.states[0]] += 1
    return ended


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_a_controller_killed_at_any_boundary_is_followed_by_one_that_brings_the_run_to_its_end(change: str) -> None:
    setting, plan = setting_of(change), plan_of(change)
    steps = len(plan.steps) if plan.gate is None else plan.gate
    assert plan.refusals == ()
    ended = ends(boundaries(setting, plan), "completed", "rolled-back")
    assert ended == {"completed": 4 * steps, "rolled-back": 4 * steps}


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_a_kill_before_or_after_any_touch_of_the_world_changes_nothing_about_the_end(change: str) -> None:
    setting, plan = setting_of(change), plan_of(change)
    assert set(ends(touches(setting, plan, KILLS), "completed")) == {"completed"}
    assert set(ends(touches(setting, plan, KILLS, back=True), "rolled-back")) == {"rolled-back"}


@pytest.mark.parametrize("change", ["blue-green", "whole"])
def test_a_touch_that_fails_or_a_controller_that_wakes_up_late_breaks_nothing(change: str) -> None:
    setting, plan = setting_of(change), plan_of(change)
    cases = chain(touches(setting, plan, OTHERS), touches(setting, plan, OTHERS, back=True))
    assert ends(cases, "completed", "rolled-back").total() > 50


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_a_run_that_is_taken_back_at_any_moment_ends_whole(change: str) -> None:
    ended = ends(aborts(setting_of(change), plan_of(change), 0.2), "completed", "rolled-back")
    assert ended["rolled-back"] > 0
