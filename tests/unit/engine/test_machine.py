"""What to do next follows from the facts alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitless.engine.journal import (
    Approved,
    Ended,
    Entry,
    Fact,
    Finished,
    Held,
    JournalBroken,
    Resumed,
    Run,
    Started,
    TurnedBack,
    Undoing,
    Undone,
    Withheld,
    fold,
)
from hitless.engine.machine import Do, Stop, Undo, Wait, next_move


def told(*facts: Fact) -> Run:
    return fold(Entry(position, 1000.0 + position, "r1", fact) for position, fact in enumerate(facts, 1))


BACK = TurnedBack("worse", "2 % against 0.1 %")


@pytest.mark.parametrize(
    ("facts", "move"),
    [
        ([], Do(0)),
        ([Started(0)], Do(0)),  # killed half-way: look again
        ([Started(0), Finished(0)], Do(1)),
        ([Started(0), Finished(0), Started(1), Finished(1)], Stop("completed")),
        ([Started(0), BACK], Undo(0)),
        ([BACK], Stop("rolled-back")),
        ([Started(0), Finished(0), Started(1), BACK, Undoing(1)], Undo(1)),
        ([Started(0), Finished(0), Started(1), BACK, Undoing(1), Undone(1)], Undo(0)),
        ([Held("lunch")], Wait()),
        ([Held("lunch"), Resumed()], Do(0)),
        ([Held("lunch"), BACK], Stop("rolled-back")),  # the way back waits for nobody
        ([Started(0), BACK, Ended("rollback-incomplete")], Stop("rollback-incomplete")),
        ([Started(0), BACK, Ended("rollback-incomplete"), Resumed()], Undo(0)),
        ([Started(0), Finished(0), Started(1), Finished(1), Ended("completed"), BACK], Undo(1)),
    ],
)
def test_the_next_move_follows_from_the_facts(facts: list[Fact], move: object) -> None:
    assert next_move(told(*facts), 2) == move


AT_THE_GATE = [Started(0), Finished(0)]


@pytest.mark.parametrize(
    ("facts", "move"),
    [
        (AT_THE_GATE, Stop("completed")),
        ([*AT_THE_GATE, Ended("completed"), Approved("ann")], Do(1)),
        ([Approved("ann"), *AT_THE_GATE], Do(1)),  # approved beforehand: no stop at the gate
        ([*AT_THE_GATE, Approved("ann"), Started(1), Finished(1)], Stop("completed")),
        ([*AT_THE_GATE, Approved("ann"), Started(1), Withheld(1, "too-early", "3 sessions")], Stop("completed")),
        ([*AT_THE_GATE, Approved("ann"), Started(1), Withheld(1, "too-early", "x"), Approved("ann")], Do(1)),
        ([*AT_THE_GATE, Ended("completed"), BACK], Undo(0)),
        ([*AT_THE_GATE, Ended("completed"), BACK, Undoing(0), Undone(0)], Stop("rolled-back")),
    ],
)
def test_steps_behind_the_gate_wait_for_an_approval(facts: list[Fact], move: object) -> None:
    assert next_move(told(*facts), 2, gate=1) == move


@pytest.mark.parametrize("facts", [[Finished(0)], [Started(1)], [Started(0), Undone(1)], [Started(0), Finished(1)]])
def test_facts_that_contradict_one_another_are_refused(facts: list[Fact]) -> None:
    with pytest.raises(JournalBroken):
        told(*facts)


def _apply(move: object) -> list[Fact]:
    match move:
        case Do(position):
            return [Started(position), Finished(position)]
        case Undo(position):
            return [Undoing(position), Undone(position)]
        case Stop(state):
            return [Ended(state)]
        case _:
            return [Resumed()]


@given(length=st.integers(0, 12), turns=st.integers(0, 30), holds=st.sets(st.integers(0, 30)))
def test_every_run_comes_to_rest_at_one_of_two_ends(length: int, turns: int, holds: set[int]) -> None:
    facts: list[Fact] = []
    for count in range(4 * length + 40):
        if count == turns:
            facts.append(BACK)
        elif count in holds:
            facts.append(Held("somebody"))
        run = told(*facts)
        if run.ended:
            break
        facts += _apply(next_move(run, length))
    run = told(*facts)
    assert (run.ended, run.reached) in {("completed", length), ("rolled-back", 0)}
