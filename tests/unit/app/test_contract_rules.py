"""When contract happens: approved beforehand, by a person later, by itself when nothing is lost; compared until then."""

import pytest

from hitless.app.contract_rules import AGREED, FIRST_PAUSE_S, NOTHING_LOST, approval_at_start, left_open, watched
from hitless.app.rolling import for_journal, news, plain
from hitless.database.comparing import Difference, Differing
from hitless.database.rolling import Rolled
from hitless.database.steps import Contract, Expand, Verify
from hitless.engine.journal import Approved, Ended, Entry, Fact, Finished, Noted, Started, TurnedBack, Withheld
from hitless.plan.plan import Plan

GONE = ("column accounts.name",)


def plan_of(*contracts: Contract) -> Plan:
    expand = Expand(database="main", version="0002_x", migrations=())
    verify = Verify(database="main", version="0002_x", again=True)
    return Plan(change="c", why="", source="", claims=(), steps=(expand, verify, *contracts), gate=1)


def contract(after_s: float | None, destroys: tuple[str, ...] = GONE) -> Contract:
    return Contract(database="main", version="0002_x", after_s=after_s, destroys=destroys)


@pytest.mark.parametrize(
    ("step", "approved_by", "opened_by"),
    [
        (contract(None), None, None),
        (contract(None), "ann", "ann"),
        (contract(None, ()), None, None),  # manual is manual
        (contract(0), None, None),
        (contract(0), "ann", "ann"),
        (contract(0, ()), None, NOTHING_LOST),
        (contract(3600), "ann", None),
        (contract(3600, ()), None, None),
    ],
)
def test_who_opens_the_gate_as_soon_as_it_is_reached(step: Contract, approved_by: str | None, opened_by: str) -> None:
    assert approval_at_start(plan_of(step), approved_by) == opened_by


def entries(*facts: tuple[float, Fact]) -> list[Entry]:
    return [Entry(position, at, "r1", fact) for position, (at, fact) in enumerate(facts, 1)]


DONE: tuple[tuple[float, Fact], ...] = ((1, Started(0)), (2, Finished(0)), (100, Ended("completed")))


def test_it_is_due_after_its_time_and_by_whoever_agreed_beforehand() -> None:
    plan = plan_of(contract(3600))
    still = left_open(plan, entries((0, Noted(1, {AGREED: "ann"})), *DONE))
    assert still is not None
    assert (still.due_at, still.who) == (3700, "ann")
    without = left_open(plan, entries(*DONE))
    assert without is not None
    assert without.who is None
    lossless = left_open(plan_of(contract(3600, ())), entries(*DONE))
    assert lossless is not None
    assert lossless.who == NOTHING_LOST


def test_what_could_not_be_done_is_tried_again_with_growing_pauses() -> None:
    withheld = Withheld(1, "contract-too-early", "orders 1.0 lives")
    plan = plan_of(contract(0, ()))
    first = left_open(plan, entries(*DONE, (110, Approved("x")), (120, withheld), (120, Ended("completed"))))
    later = left_open(plan, entries(*DONE, (9100, withheld)))
    assert first is not None
    assert later is not None
    assert (first.due_at, later.due_at) == (120 + FIRST_PAUSE_S, 9100 + 900)


def test_manual_is_never_due_and_what_is_over_is_not_open() -> None:
    manual = left_open(plan_of(contract(None, ())), entries(*DONE))
    assert manual is not None
    assert manual.due_at is None
    assert left_open(plan_of(contract(None)), entries(*DONE[:2])) is None
    over = entries(
        *DONE[:2], (3, Started(1)), (4, Finished(1)), (5, Started(2)), (6, Finished(2)), (7, Ended("completed"))
    )
    assert left_open(plan_of(contract(None)), over) is None


def test_several_databases_wait_for_the_last_of_them() -> None:
    still = left_open(plan_of(contract(10), contract(3600)), entries(*DONE))
    assert still is not None
    assert still.due_at == 3700
    assert approval_at_start(plan_of(contract(0, ()), contract(None)), None) is None


def test_a_change_is_compared_until_it_is_contracted_or_taken_back() -> None:
    plan = plan_of(contract(None))
    assert watched(plan, entries(*DONE[:1])) == watched(plan, entries(*DONE)) == (contract(None),)
    back = entries(*DONE, (200, TurnedBack("rolled-back", "why")))
    over = entries(*DONE, (200, Approved("ann")), (201, Started(1)), (202, Finished(1)), (203, Started(2)))
    assert watched(plan, back) == watched(plan, over) == ()


def remark(**more: object) -> dict[str, object]:
    return {"rolling": "main", "version": "0002_x", "compared": 1000, "sweeps": 0, "differing": [], **more}


ROW, OTHER = {"table": "people", "key": ["7"]}, {"table": "people", "key": ["8"]}


def test_the_journal_is_told_of_rolling_verification_only_what_it_does_not_say_yet() -> None:
    swept, differs = remark(sweeps=1), remark(differing=[ROW], sweeps=2)
    failed = {"rolling": "main", "version": "0002_x", "failed": "database-down: gone"}
    told: list[tuple[float, Fact]] = list(DONE)
    noted = []
    for each in (remark(), swept, remark(sweeps=2), differs, differs, failed, failed, differs, remark(sweeps=3)):
        if news(each, entries(*told), now=205):
            noted.append(each)
            told.append((200, Noted(1, each)))
    assert noted == [swept, differs, failed, differs, remark(sweeps=3)]


def test_rows_that_differ_in_turn_are_told_once_a_minute() -> None:
    told: list[tuple[float, Fact]] = list(DONE)
    noted = []
    for at in range(200, 500, 5):
        each = remark(differing=[ROW if at % 10 else OTHER], differ=at)
        if news(each, entries(*told), now=at):
            noted.append(at)
            told.append((at, Noted(1, each)))
    assert noted == [200, 260, 320, 380, 440]


def test_what_the_journal_is_told_holds_no_values() -> None:
    rows = tuple(Difference(table="people", key=(str(n),), said="loud is 'secret'") for n in range(100))
    found = Rolled(rows=1000, sweeps=1, differing=Differing(listed=rows, total=300, at_least=True))
    assert "secret" in str(plain(found))
    written = for_journal(found)
    assert "secret" not in str(written)
    assert (written["differ"], written["at_least"], len(written["differing"])) == (300, True, 20)
