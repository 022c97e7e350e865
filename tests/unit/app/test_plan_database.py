"""What a plan says about databases, from what was seen of them: the order of steps, and every reason against it."""

from dataclasses import replace

import pytest

from hitless.app.facts import Occupied, ServiceNow
from hitless.app.plan_database import DatabasePart, Selection
from hitless.app.proposal import Proposal
from hitless.app.schema_choice import SchemaChoice
from hitless.database.findings import Finding, Rehearsed
from hitless.database.migration import Migration
from hitless.database.observation import DatabaseNow
from hitless.plan.change import read_change
from hitless.plan.system import read_system
from hitless.runtime.steps import Launch
from hitless.traffic.steps import Routing

SYSTEM = read_system(
    """
system: shop
databases: { main: { migrations: migrations/ } }
services:
  orders: { run: [orders], version: "1.0", database: main }
  accounts: { run: [accounts], version: "1.0", database: main }
  web: { run: [web], version: "1.0" }
""",
    file="hitless.yaml",
)
ADD = "operations:\n  - add_column: {table: t, column: {name: c, type: int, nullable: true}}\n"
FOLDER = tuple(Migration(name=name, text=ADD) for name in ("0001_shop", "0002_split", "0003_more"))
NOW = DatabaseNow(current="0001_shop", ran={"0001_shop": FOLDER[0].checksum})
REHEARSED = Rehearsed(destroys=("column accounts.name",), where="an empty copy", queries=3)


def launch(service: str, schema: str | None = "0001_shop", version: str = "1.0") -> Launch:
    return Launch(service=service, version=version, run=(service,), cwd="/", database="main", schema=schema)


def proposed(
    change: str,
    *,
    now: DatabaseNow = NOW,
    folder: tuple[Migration, ...] = FOLDER,
    rehearsed: Rehearsed = REHEARSED,
    held_by: tuple[str, ...] = (),
) -> Proposal:
    wanted = read_change(f"change: c\n{change}", file="c.yaml")
    selections = {
        name: Selection(name=name, wanted=each, now=now, folder=folder)
        for name, each in wanted.database.items()
        if name in SYSTEM.databases
    }
    newest = {name: each.version for name, each in selections.items() if each.chosen}
    services = {
        name: ServiceNow(
            routing=Routing(service=name, baseline="a"), slots={"a": Occupied(launch=launch(name), numbers=(1,))}
        )
        for name in ("orders", "accounts")
    }
    return DatabasePart(
        system=SYSTEM,
        change=wanted,
        selections=selections,
        rehearsed=dict.fromkeys(selections, rehearsed),
        services=services,
        schemas=SchemaChoice(newest=newest, there={"main": now.versions}),
        held_by={"main": held_by},
    ).propose()


def codes(proposal: Proposal) -> list[str]:
    return [each.code for each in proposal.refusals]


def test_expand_backfill_and_verify_come_before_code_and_contract_waits_behind_the_gate() -> None:
    proposal = proposed("database: { main: [0002_split] }")
    assert [step.kind for step in proposal.prepare] == ["expand", "backfill", "verify"]
    assert [step.kind for step in proposal.conclude] == ["verify", "contract"]
    assert (proposal.needs_approval, proposal.refusals) == (True, ())
    assert proposal.claims == {"database main"}
    assert "column accounts.name" in proposal.conclude[-1].describe()
    assert proposal.conclude[-1].point_of_no_return
    assert not any(step.point_of_no_return for step in proposal.prepare)


def test_a_flag_of_no_change_that_needs_the_old_side_now_is_named() -> None:
    said = 'flag beta still gives variant "off" to users, and variant "off" needs 0001_shop of "main"'
    remarks = proposed("database: { main: [0002_split] }", held_by=(said,)).remarks
    assert f"main: contract waits as long as {said}" in remarks
    assert not any("flag" in each for each in proposed("database: { main: [0002_split] }").remarks)


def test_what_contract_waits_for_is_named_and_what_moves_is_not() -> None:
    def waiting(services: str) -> str:
        remarks = proposed(f"database: {{ main: [0002_split] }}\n{services}").remarks
        return next((remark for remark in remarks if "waits until" in remark), "")

    assert "orders 1.0 on 0001_shop, accounts 1.0 on 0001_shop" in waiting("")
    assert "accounts" not in waiting('services: { accounts: { to: "1.1" } }')
    assert "orders 1.0 on 0001_shop" in waiting('services: { accounts: { to: "1.1" } }')
    assert waiting('services: { accounts: { to: "1.1" }, orders: { restart: true } }') == ""
    kept = waiting('services: { accounts: { to: "1.1", schema: 0001_shop }, orders: { restart: true } }')
    assert "accounts 1.1 on 0001_shop" in kept
    assert "accounts 1.0 on 0001_shop" in waiting(
        "services: { accounts: { env: { A: b } }, orders: { restart: true } }"
    )


@pytest.mark.parametrize(
    ("change", "now", "code"),
    [
        ("database: { other: [0002_split] }", NOW, "unknown-database"),
        ("database: { main: [0002_spilt] }", NOW, "unknown-migration"),
        ("database: { main: [0001_shop] }", NOW, "migration-ran"),
        ("database: { main: [0002_split] }", replace(NOW, ran={"0001_shop": "another"}), "migration-edited"),
        ("database: { main: [0003_more] }", NOW, "migration-skipped"),
        (
            "database: { main: [0002_split] }",
            replace(NOW, ran={**NOW.ran, "0003_more": FOLDER[2].checksum}),
            "migration-late",
        ),
        ("database: { main: [0002_split] }", replace(NOW, open="0002_x"), "change-open"),
        ("database: { main: [0002_split] }", replace(NOW, read_only=True), "database-read-only"),
        ("database: { main: [0002_split] }", replace(NOW, drift=('"t"."x" is on one side only',)), "drift"),
        ("database: { main: [] }", NOW, "no-migrations"),
    ],
)
def test_what_cannot_be_right_is_refused_and_has_no_steps(change: str, now: DatabaseNow, code: str) -> None:
    proposal = proposed(change, now=now)
    assert code in codes(proposal)
    assert all(each.hint for each in proposal.refusals)
    assert proposal.prepare == proposal.conclude == ()


def test_a_baseline_stands_for_the_files_up_to_its_number() -> None:
    baseline = DatabaseNow(current="0002_split")
    assert codes(proposed("database: { main: [0003_more] }", now=baseline)) == []
    assert codes(proposed("database: { main: [0001_shop] }", now=baseline)) == ["migration-late"]


def test_several_files_are_one_change_and_one_schema_version() -> None:
    proposal = proposed("database: { main: [0002_split, 0003_more] }")
    assert codes(proposal) == []
    assert "0003_more (0002_split, 0003_more)" in proposal.prepare[0].describe()


def test_a_list_that_is_not_in_the_order_of_the_folder_is_refused_and_not_sorted() -> None:
    (refusal,) = proposed("database: { main: [0003_more, 0002_split] }").refusals
    assert refusal.code == "migration-order"
    assert refusal.text == "main: the change names 0003_more before 0002_split, which runs first"
    assert refusal.hint == "write 0002_split, 0003_more"
    (twice,) = proposed("database: { main: [0002_split, 0002_split] }").refusals
    assert (twice.code, twice.text) == ("migration-order", "main: the change names 0002_split twice")


def test_a_finding_refuses_until_somebody_gives_a_reason() -> None:
    found = replace(
        REHEARSED, findings=(Finding(rule="rewrites-table", text="expand writes people anew", hint="fill it"),)
    )
    refused = proposed("database: { main: [0002_split] }", rehearsed=found)
    assert codes(refused) == ["rewrites-table"]
    assert "accept: {rewrites-table: why}" in refused.refusals[0].hint
    accepted = proposed(
        "database: { main: { migrations: [0002_split], accept: { rewrites-table: nobody reads it at night } } }",
        rehearsed=found,
    )
    assert codes(accepted) == []
    assert any("accepted (nobody reads it at night)" in remark for remark in accepted.remarks)
    assert any(
        "does not find it" in remark
        for remark in proposed(
            "database: { main: { migrations: [0002_split], accept: { rewrites-table: old } } }"
        ).remarks
    )


def test_what_the_rehearsal_could_not_do_is_refused_as_the_server_said_it() -> None:
    failed = Rehearsed(
        failure=Finding(rule="statement-failed", text="PostgreSQL says 42601", hint="correct it"), where="a copy"
    )
    refusal = proposed("database: { main: [0002_split] }", rehearsed=failed).refusals[0]
    assert (refusal.code, refusal.text, refusal.hint) == (
        "statement-failed",
        "main: PostgreSQL says 42601",
        "correct it",
    )


@pytest.mark.parametrize(
    ("contract", "destroys", "said"),
    [
        ("manual", True, "manual, by hitless contract RUN"),
        ("at once", True, "at once, once it is approved"),
        ("at once", False, "at once, by itself: nothing is destroyed"),
        ("after 24h", True, "1d after the switch, once it is approved"),
    ],
)
def test_the_plan_says_when_contract_happens(contract: str, destroys: bool, said: str) -> None:
    rehearsed = REHEARSED if destroys else replace(REHEARSED, destroys=())
    change = f"database: {{ main: {{ migrations: [0002_split], contract: {contract} }} }}"
    assert any(said in remark for remark in proposed(change, rehearsed=rehearsed).remarks)


def test_what_a_change_ships_starts_on_the_newest_schema_and_everything_else_keeps_its_own() -> None:
    choice = SchemaChoice(newest={"main": "0002_split"}, there={"main": ("0001_shop",)})
    section = SYSTEM.services["orders"]

    def chosen(text: str, now: Launch | None = None) -> str | None:
        wanted = read_change(f"change: c\nservices: {{ orders: {{ {text} }} }}", file="c").services["orders"]
        return choice.of(section, wanted, now or launch("orders"))

    assert chosen('to: "1.1"') == "0002_split"
    assert chosen("restart: true") == "0002_split"
    assert chosen("env: { A: b }") == "0001_shop"
    assert chosen("instances: 3") == "0001_shop"
    assert chosen('to: "1.1", schema: 0001_shop') == "0001_shop"
    assert (
        choice.of(
            SYSTEM.services["web"],
            read_change('change: c\nservices: { web: { to: "2" } }', file="c").services["web"],
            None,
        )
        is None
    )
    nothing_new = SchemaChoice(there={"main": ("0001_shop", "0002_split")})
    wanted = read_change('change: c\nservices: { orders: { to: "1.1" } }', file="c").services["orders"]
    assert nothing_new.of(section, wanted, launch("orders")) == "0001_shop"
    assert nothing_new.of(section, wanted, replace(launch("orders"), database=None, schema=None)) == "0001_shop"


def test_a_schema_version_that_nobody_makes_is_refused() -> None:
    choice = SchemaChoice(newest={"main": "0002_split"}, there={"main": ("0001_shop",)})
    wanted = read_change('change: c\nservices: { orders: { to: "1.1", schema: 0002_spilt } }', file="c").services[
        "orders"
    ]
    (refusal,) = choice.against("orders", SYSTEM.services["orders"], wanted)
    assert (refusal.code, refusal.hint) == ("unknown-schema", "did you mean 0002_split?")
