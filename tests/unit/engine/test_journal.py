"""What the facts of a run add up to."""

from hypothesis import given
from hypothesis import strategies as st

from hitless.engine.journal import (
    FACT_NAMES,
    FACTS,
    Ended,
    Entry,
    Fact,
    Finished,
    Held,
    Noted,
    Resumed,
    Run,
    Started,
    State,
    TurnedBack,
    Undoing,
    Undone,
    fold,
)
from hitless.engine.machine import Do, Stop, Undo, Wait, next_move

BACK = TurnedBack("aborted", "somebody said so")
LENGTH = 4


def entries(facts: list[Fact]) -> list[Entry]:
    return [Entry(position, 1000.0 + position, "r1", fact) for position, fact in enumerate(facts, 1)]


def told(*facts: Fact) -> Run:
    return fold(entries(list(facts)))


@st.composite
def histories(draw: st.DrawFn) -> list[Fact]:
    """Facts as an executor and people write them, with kills between any two."""
    facts: list[Fact] = []
    for _ in range(draw(st.integers(0, 40))):
        run = told(*facts)
        people: list[Fact] = [Held("lunch"), Resumed(), BACK, Noted(run.reached, {"trouble": "slow"})]
        facts.append(draw(st.sampled_from([*_of_executor(run), *(people if run.ended is None else [BACK, Resumed()])])))
    return facts


def _of_executor(run: Run) -> list[Fact]:
    match next_move(run, LENGTH):
        case Do(position):
            return [Started(position), *([Finished(position)] if run.in_doubt else [])]
        case Undo(position):
            return [Undone(position), Ended("rollback-incomplete")] if run.undoing else [Undoing(position)]
        case Stop(state):
            return [Ended(state)]
        case Wait():
            return [Resumed()]


@given(histories())
def test_whatever_was_written_can_be_read_by_the_next_controller(facts: list[Fact]) -> None:
    run = told(*facts)
    assert 0 <= run.reached <= LENGTH
    assert {run.step_state(position) for position in range(run.reached, LENGTH)} <= {"pending", "undone"}
    next_move(run, LENGTH)


@given(histories())
def test_a_step_began_when_it_was_first_started(facts: list[Fact]) -> None:
    first: dict[int, float] = {}
    for entry in entries(facts):
        if isinstance(entry.fact, Started):
            first.setdefault(entry.fact.position, entry.at)
    assert told(*facts).started_at == first


@given(histories())
def test_no_step_is_begun_once_the_run_has_turned_back(facts: list[Fact]) -> None:
    run = told(*facts)
    if run.turned_back is not None:
        assert not isinstance(next_move(run, LENGTH), Do | Wait)


@given(histories())
def test_a_remark_moves_nothing(facts: list[Fact]) -> None:
    lines = entries(facts)
    assert fold(lines) == fold(line for line in lines if not isinstance(line.fact, Noted))


def test_the_state_of_a_run_is_one_word() -> None:
    states: list[tuple[list[Fact], State]] = [
        ([], "running"),
        ([Held("lunch")], "held"),
        ([Held("lunch"), BACK], "running"),
        ([Ended("completed")], "completed"),
        ([Ended("completed"), BACK], "running"),
        ([BACK, Ended("rollback-incomplete"), Resumed()], "running"),
    ]
    assert [told(*facts).state for facts, _ in states] == [state for _, state in states]


def test_the_state_of_a_step_is_one_word() -> None:
    run = told(Started(0), Finished(0), Started(1))
    assert [run.step_state(position) for position in range(3)] == ["done", "running", "pending"]
    run = told(Started(0), Finished(0), Started(1), BACK, Undoing(1), Undone(1), Undoing(0))
    assert [run.step_state(position) for position in range(3)] == ["undoing", "undone", "pending"]


def test_every_fact_has_a_name_that_leads_back_to_it() -> None:
    assert {FACTS[name] for name in FACT_NAMES.values()} == set(FACT_NAMES)
