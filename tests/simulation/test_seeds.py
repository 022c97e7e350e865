"""Ten thousand runs by chance. A seed that breaks a promise is named, with the command that replays it."""

import pytest

from hitless.app.simulation.campaign import campaign
from hitless.app.simulation.chance import CHARACTERS, MOODS, case_of, run_seed
from hitless.app.simulation.shop import CHANGES

RUNS = 10_000


@pytest.mark.timeout(3600)  # two minutes on two processors that have nothing else to do
def test_ten_thousand_runs_keep_every_promise() -> None:
    found = campaign(case_of, 0, RUNS)
    again = [f"python -m hitless.app.simulation --seed {each['seed']}: {each['broken']}" for each in found.broken]
    assert not again, "\n".join(again)
    assert found.runs == RUNS
    # and they were no walk in the park
    assert min(found.ended["completed"], found.ended["rolled-back"]) > RUNS / 4
    assert set(found.faults) == {"kill", "fail", "slow", "pause", "lose store"}
    assert min(found.faults.values()) > RUNS / 20
    assert found.lives > 1.5 * RUNS
    assert found.incomplete > RUNS / 1000  # then told to try again, and whole in the end


def test_seeds_reach_every_change_every_mood_and_every_character() -> None:
    cases = [case_of(seed) for seed in range(600)]
    assert {change for case in cases for change in case.changes} == set(CHANGES)
    assert {case.mood for case in cases} == set(MOODS)
    drawn = {character for case in cases for character in case.setting.characters.known.values()}
    assert drawn == {character for _, character in CHARACTERS}
    assert any(len(case.plans) > 1 for case in cases)


def test_a_seed_gives_the_same_run_for_ever() -> None:
    for seed in (1, 2, 3, 50, 77):
        first, again = run_seed(seed), run_seed(seed)
        assert (first.facts, first.requests, first.lives) == (again.facts, again.requests, again.lives)
