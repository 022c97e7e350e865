"""What the real squawk says about SQL of a migration: rules with names that stay, accepted with a reason in the change."""

import shutil
import sys
from pathlib import Path

import pytest

from hitless.app.lint import lint
from hitless.app.plan_database import DatabasePart, Selection
from hitless.app.proposal import Proposal
from hitless.database.findings import Finding, Rehearsed
from hitless.database.migration import Migration
from hitless.database.observation import DatabaseNow
from hitless.plan.change import read_change
from hitless.plan.system import read_system

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(
        not (Path(sys.executable).parent / "squawk").exists() and shutil.which("squawk") is None,
        reason="no squawk: pip install hitless[lint]",
    ),
]
SYSTEM = read_system(
    """
system: shop
databases: { main: { migrations: migrations/ } }
services: { orders: { run: [orders], version: "1.0", database: main } }
""",
    file="hitless.yaml",
)
NAME = "0002_sql"


def migration(up: str) -> Migration:
    return Migration(name=NAME, text=f'operations:\n  - sql: {{up: "{up}", down: "SELECT 1"}}\n')


def planned(accept: str, findings: tuple[Finding, ...]) -> Proposal:
    change = read_change(
        f"change: c\ndatabase: {{ main: {{ migrations: [{NAME}], accept: {accept} }} }}\n", file="c.yaml"
    )
    now = DatabaseNow(current="0001_shop", ran={"0001_shop": "x"})
    selection = Selection(name="main", wanted=change.database["main"], now=now, folder=(migration("SELECT 1"),))
    rehearsed = Rehearsed(findings=findings, where="a copy")
    return DatabasePart(
        system=SYSTEM, change=change, selections={"main": selection}, rehearsed={"main": rehearsed}
    ).propose()


async def test_a_finding_has_a_rule_that_stays_and_says_where_it_is() -> None:
    found = await lint([migration("CREATE INDEX by_name ON people (name)")], 18)
    assert [each.rule for each in found] == ["squawk:require-concurrent-index-creation"]
    assert found[0].text.startswith("0002_sql, line 1 of its SQL: ")
    assert not found[0].refuses
    remarks = planned("{}", found).remarks
    assert any("squawk:require-concurrent-index-creation: 0002_sql" in remark for remark in remarks), remarks


async def test_it_is_accepted_with_a_reason_in_the_change() -> None:
    found = await lint([migration("CREATE INDEX by_name ON people (name)")], 18)
    accepted = planned("{ 'squawk:require-concurrent-index-creation': the table is empty }", found)
    assert any("accepted (the table is empty)" in remark for remark in accepted.remarks)


async def test_what_cannot_be_read_is_refused_unless_it_is_accepted() -> None:
    found = await lint([migration("UPDATE people SET name =")], 18)
    assert {(each.rule, each.refuses) for each in found} == {("squawk:syntax-error", True)}
    assert {each.code for each in planned("{}", found).refusals} == {"squawk:syntax-error"}
    assert planned("{ 'squawk:syntax-error': squawk is wrong about this one }", found).refusals == ()


async def test_sql_that_is_well_written_and_operations_without_sql_say_nothing() -> None:
    plain = Migration(name="0003_plain", text="operations:\n  - drop_table: {name: people}\n")
    assert await lint([migration("CREATE INDEX CONCURRENTLY by_name ON people (name)"), plain], 18) == ()
