"""Every boundary of every kind of change, and every touch of the world: whatever happens there, the run ends whole."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import chain
from multiprocessing import get_context

import pytest

from hitless.app.simulation.explore import Found, aborts, boundaries, touches
from hitless.app.simulation.faults import Fault
from hitless.app.simulation.shop import CHANGES, plan_of, setting_of

KILLS = (Fault(kind="kill"), Fault(kind="kill", after=True))
OTHERS = (Fault(kind="fail", after=True), Fault(kind="pause", seconds=4.0))

Ends = Counter[str]


def ends(cases: Iterable[Found]) -> Ends:
    """Count how the cases ended; the first that broke a promise is raised, by its name."""
    ended: Ends = Counter()
    for found in cases:
        assert not found.outcome.broken, f"{found.case}: {found.outcome.broken[0]}"
        ended.update(found.outcome.states)
    return ended


def every_boundary(change: str) -> Ends:
    return ends(boundaries(setting_of(change), plan_of(change)))


def every_kill(change: str) -> Ends:
    return ends(touches(setting_of(change), plan_of(change), KILLS))


def every_kill_on_the_way_back(change: str) -> Ends:
    return ends(touches(setting_of(change), plan_of(change), KILLS, back=True))


def every_other_fault(change: str) -> Ends:
    there = touches(setting_of(change), plan_of(change), OTHERS)
    return ends(chain(there, touches(setting_of(change), plan_of(change), OTHERS, back=True)))


def every_abort(change: str) -> Ends:
    return ends(aborts(setting_of(change), plan_of(change), 0.3))


@pytest.fixture(scope="module")
def on_all_processors() -> Iterator[Callable[[Callable[[str], Ends], Iterable[str]], dict[str, Ends]]]:
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("fork")) as pool:

        def look(at: Callable[[str], Ends], changes: Iterable[str]) -> dict[str, Ends]:
            names = sorted(changes)
            return dict(zip(names, pool.map(at, names), strict=True))

        yield look


pytestmark = pytest.mark.timeout(3600)  # half a minute each on two processors that have nothing else to do


def test_a_controller_killed_at_any_boundary_is_followed_by_one_that_brings_the_run_to_its_end(
    on_all_processors,
) -> None:
    for change, ended in on_all_processors(every_boundary, CHANGES).items():
        plan = plan_of(change)
        before_gate = len(plan.steps) if plan.gate is None else plan.gate
        assert plan.refusals == ()
        assert ended == {"completed": 4 * len(plan.steps), "rolled-back": 4 * before_gate}, change


def test_a_kill_before_or_after_any_touch_of_the_world_changes_nothing_about_the_end(on_all_processors) -> None:
    changes = ("blue-green", "rolling", "keep", "shrink", "schema", "flag")
    for change, ended in on_all_processors(every_kill, changes).items():
        assert set(ended) == {"completed"}, change
    for change, ended in on_all_processors(every_kill_on_the_way_back, changes).items():
        assert ended["rolled-back"] > 20, change
        assert ended["completed"] == 1, change  # killed before it had written down that it was told to go back


def test_a_touch_that_fails_or_a_controller_that_wakes_up_late_breaks_nothing(on_all_processors) -> None:
    for change, ended in on_all_processors(every_other_fault, ("blue-green", "schema")).items():
        assert ended.total() > 50, change


def test_a_run_that_is_taken_back_at_any_moment_ends_whole(on_all_processors) -> None:
    for change, ended in on_all_processors(every_abort, CHANGES).items():
        assert ended["rolled-back"] > 0, change
