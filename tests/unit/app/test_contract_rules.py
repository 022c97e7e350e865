"""When contract happens: approved beforehand, by a person later, by itself when nothing is lost; and not too early."""

import pytest

from hitless.app.contract_cases import too_early
from hitless.app.contract_rules import AGREED, FIRST_PAUSE_S, NOTHING_LOST, approval_at_start, left_open
from hitless.app.facts import Facts, Occupied, ServiceNow
from hitless.database.steps import Contract, Expand, Verify
from hitless.engine.journal import Approved, Ended, Entry, Fact, Finished, Noted, Started, Withheld
from hitless.plan.plan import Plan
from hitless.runtime.steps import Launch
from hitless.traffic.steps import Routing

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


@pytest.mark.parametrize(("schema", "early"), [("0001_shop", True), (None, True), ("0002_x", False)])
def test_an_instance_on_the_old_schema_version_makes_it_too_early(schema: str | None, early: bool) -> None:
    launch = Launch(service="orders", version="1.0", run=("o",), cwd="/", database="main", schema=schema)
    now = ServiceNow(
        routing=Routing(service="orders", baseline="a"), slots={"a": Occupied(launch=launch, numbers=(1, 2))}
    )
    facts = Facts(
        services={"orders": now}, requests_per_s={}, long_connections={}, resident_bytes={}, available_bytes=0
    )
    found = list(too_early(plan_of(contract(None)), facts))
    assert bool(found) is early
    if early:
        assert found[0].code == "contract-too-early"
        assert 'main" still serves orders 1.0 (2 instances)' in found[0].text
