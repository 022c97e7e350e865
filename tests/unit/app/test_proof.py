"""Every state of a plan, forward and backward, and why what is live at once works together."""

from dataclasses import replace

import pytest

from hitless.app.exposure import exposures, to_json
from hitless.app.facts import Facts, Occupied, ServiceNow
from hitless.app.plan_services import ServicesPart
from hitless.app.planner import Planner
from hitless.app.proof.proof import Pair, Proof, Prover, pairs_of
from hitless.app.proof.state import State, after
from hitless.app.proof.versions import fits
from hitless.database.steps import Contract, Expand
from hitless.flags.steps import Stage
from hitless.kit.units import Share
from hitless.plan.change import read_change
from hitless.plan.plan import Plan
from hitless.plan.step import Step
from hitless.plan.system import Service, System, read_system
from hitless.runtime.steps import Launch
from hitless.signals.prometheus import resolves
from hitless.traffic.steps import Routing, Shift

SHOP = """
system: shop
databases: { main: {} }
services:
  web: { run: [web], version: "1.0", calls: [orders] }
  orders: { run: [orders], version: "1.0", calls: [accounts], database: main }
  accounts: { run: [accounts], version: "1.0", database: main }
"""


def launch_of(name: str, section: Service, version: str, schema: str | None = None) -> Launch:
    return Launch(service=name, version=version, run=section.run, cwd="/")


def facts_of(system: System) -> Facts:
    services = {
        name: ServiceNow(
            routing=Routing(service=name, baseline="a", version_a=section.version),
            slots={"a": Occupied(launch=launch_of(name, section, section.version), numbers=(1, 2))},
        )
        for name, section in system.services.items()
    }
    return Facts(services=services, requests_per_s={}, long_connections={}, resident_bytes={}, available_bytes=1 << 40)


def planned(
    change: str,
    *,
    observed: frozenset[Pair] = frozenset(),
    others: dict[str, Share] | None = None,
    in_flight: dict[str, frozenset[str]] | None = None,
    down: str = "",
) -> Plan:
    system, wanted = read_system(SHOP, file="s"), read_change(f"change: c\n{change}", file="c")
    facts = facts_of(system)
    facts = replace(facts, services={name: now for name, now in facts.services.items() if name != down})
    part = ServicesPart(
        system=system,
        facts=facts,
        folder="/",
        launch_of=launch_of,
        missing=lambda _: None,
        resolves=resolves,
        change=wanted,
    )
    planner = Planner(
        change=wanted,
        source="",
        in_flight=in_flight or {},
        start=State.of(facts, {}),
        prover=Prover(system=system, change=wanted, observed=observed),
        exposed_by=others or {},
    )
    return planner.plan(part.propose())


def why(plan: Plan) -> dict[tuple[str, str], str]:
    return {(each["live"][0], each["live"][1]): each["why"] for each in plan.proof["pairs"]}


def test_a_called_service_is_everywhere_before_its_caller_begins() -> None:
    plan = planned('services: { web: { to: "2" }, orders: { to: "2" } }')
    assert plan.refusals == ()
    assert ("web 2", "orders 1.0") not in why(plan)
    assert {("web 1.0", "orders 2"), ("web 2", "orders 2"), ("web 1.0", "orders 1.0")} <= set(why(plan))


def test_pairs_are_shown_by_what_runs_what_is_declared_what_was_seen_and_else_by_the_guards() -> None:
    plan = planned(
        'services: { orders: { to: "2", works_with: { accounts: ">=1" } } }',
        observed=frozenset({("web 1.0", "orders 2")}),
    )
    found = why(plan)
    assert found["web 1.0", "orders 1.0"].startswith("they work together now")
    assert found["orders 2", "accounts 1.0"].startswith("declared")
    assert found["web 1.0", "orders 2"].startswith("observed")
    assert why(planned('services: { orders: { to: "2" } }'))["web 1.0", "orders 2"].startswith("watched")


def test_what_a_plan_has_shown_is_read_back_from_its_plain_data() -> None:
    plan = planned('services: { orders: { to: "2" } }')
    assert pairs_of(plan.to_json()) == set(why(plan))


@pytest.mark.parametrize(
    ("services", "code"),
    [
        ('orders: { to: "2", works_with: { accounts: ">=1.1" } }', "unfit-pair"),
        ('orders: { to: "2", works_with: { web: ">=2" } }, web: { to: "2" }', "unfit-pair"),  # the caller comes later
        ('orders: { to: "2", works_with: { nobody: "1" } }', "unfit-pair"),
    ],
)
def test_a_pair_that_is_declared_unfit_is_refused_wherever_it_is_live(services: str, code: str) -> None:
    assert code in [refusal.code for refusal in planned(f"services: {{ {services} }}").refusals]


@pytest.mark.parametrize(
    ("services", "code"),
    [
        ('ordres: { to: "2" }', "unknown-service"),
        ('orders: { to: "2", steps: [staff, 100%] }', "unknown-group"),
        ('orders: { to: "1.0" }', "same-version"),
        ('accounts: { to: "2" }', "service-down"),
        ("orders: { instances: 2 }", "nothing-to-do"),
    ],
)
def test_what_cannot_be_done_now_is_refused_in_the_plan(services: str, code: str) -> None:
    plan = planned(f"services: {{ {services} }}", down="accounts")
    assert [each.code for each in plan.refusals] == [code]


def test_what_another_run_works_on_is_refused_also_by_way_of_who_calls_it() -> None:
    for services in ('web: { to: "2" }', 'orders: { to: "2" }'):  # web calls orders
        plan = planned(f"services: {{ {services} }}", in_flight={"r7": frozenset({"web"})})
        assert [each.code for each in plan.refusals] == ["run-under-way"]
        assert "r7 has web" in plan.refusals[0].text


def test_a_step_whose_inverse_does_not_lead_back_is_refused_as_a_defect_of_ours() -> None:
    system, change = read_system(SHOP, file="s"), read_change('change: c\nservices: { web: { to: "2" } }', file="c")
    elsewhere = Routing(service="web", baseline="b", version_a="1.0", version_b="2")
    proof = Prover(system=system, change=change).prove(
        State.of(facts_of(system), {}), (Shift(before=elsewhere, after=replace(elsewhere, share=Share(10_000))),)
    )
    assert [each.code for each in proof.refusals] == ["no-inverse"]


def test_a_declared_pair_of_the_same_change_is_met_because_the_called_one_went_first() -> None:
    plan = planned('services: { web: { to: "2", works_with: { orders: ">=2" } }, orders: { to: "2" } }')
    assert plan.refusals == ()


def on_the_old_schema(live: frozenset[str]) -> Proof:
    system, change = read_system(SHOP, file="s"), read_change("change: c\ndatabase: { main: [0002_x] }", file="c")
    prover = Prover(
        system=system,
        change=change,
        schema_of=lambda launch: ("main", "0001_a") if launch.service == "orders" else None,
    )
    steps: tuple[Step, ...] = (
        Expand(database="main", version="0002_x", migrations=()),
        Contract(database="main", version="0002_x"),
    )
    return prover.prove(State.of(facts_of(system), {"main": live}), steps)


def test_code_whose_schema_version_is_gone_is_refused_with_the_way_out() -> None:
    proof = on_the_old_schema(frozenset())
    assert [each.code for each in proof.refusals] == ["schema-gone"]
    assert "orders 1.0 reads schema version 0001_a" in proof.refusals[0].text


def test_contract_waits_for_code_of_the_old_schema_version_and_does_not_take_it_away() -> None:
    proof = on_the_old_schema(frozenset({"0001_a"}))
    assert proof.refusals == ()
    assert [each.why for each in proof.shown if each.pair == ("orders 1.0", "main 0001_a")] != []


def test_a_flag_is_not_raised_while_users_meet_code_that_does_not_know_it() -> None:
    system = read_system(SHOP, file="s")
    change = read_change('change: c\nservices: { orders: { to: "2" } }\nflags: { f: [everyone] }', file="c")
    raised: tuple[Step, ...] = (Stage(flag="f", before="", after="{}", stage="everyone"),)
    start = State.of(facts_of(system), {})
    shipped = planned('services: { orders: { to: "2" } }').steps
    prove = Prover(system=system, change=change).prove
    assert [each.code for each in prove(start, (*raised, *shipped)).refusals] == ["flag-before-code"]
    assert Prover(system=system, change=change).prove(start, (*shipped, *raised)).refusals == ()


def test_each_step_back_leads_to_what_was_live_before() -> None:
    plan = planned(
        'services: { web: { to: "2", strategy: blue-green }, orders: { to: "2" }, accounts: { to: "2", strategy: rolling } }'
    )
    state = State.of(facts_of(read_system(SHOP, file="s")), {})
    for step in plan.steps:
        behind, state = state, after(state, step)
        inverse = step.inverse()
        back = after(state, inverse) if inverse else state
        assert all(behind.met(name) == back.met(name) for name in ("web", "orders", "accounts"))


def test_the_cohorts_of_one_change_are_the_same_users_and_those_of_two_runs_are_not() -> None:
    plan = planned('services: { web: { to: "2" }, orders: { to: "2" } }', others={"r7": Share(1000)})
    assert plan.exposure["total_before_everybody"] == 0.25
    assert plan.exposure["shared_with"] == [{"run": "r7", "share": 0.1, "in_both": 0.025}]
    assert "the cohorts of orders and web are the same users" in " ".join(plan.remarks)


def test_exposure_ends_with_everybody() -> None:
    found = exposures(planned('services: { orders: { to: "2", steps: [1%, 50%, 100%] } }').steps)
    assert [step["share"] for step in to_json(found, {})["steps"]] == [0.01, 0.5, 1.0]


@pytest.mark.parametrize(
    ("version", "condition", "met"),
    [
        ("1.1", ">=1.1", True),
        ("1.10", ">=1.9", True),
        ("1.0", "==1", True),
        ("2", "<2", False),
        ("main", "main", True),
        ("1.0", "main", False),
    ],
)
def test_versions_are_compared_number_by_number(version: str, condition: str, met: bool) -> None:
    assert fits(version, condition) is met


@pytest.mark.parametrize("value", [None, "ftp://user:s3cret@host"])
@pytest.mark.parametrize(
    "guard", ["metrics: { m: { url: env:METRICS, requests: a, bad: b } }", "saturation: { url: env:METRICS, load: a }"]
)
def test_a_variable_in_which_there_is_no_url_of_those_who_measure_is_refused_and_its_value_told_nowhere(
    monkeypatch: pytest.MonkeyPatch, guard: str, value: str | None
) -> None:
    wanted = f'services: {{ orders: {{ to: "2" }} }}\nguards: {{ {guard} }}'
    monkeypatch.delenv("METRICS", raising=False)
    if value is not None:
        monkeypatch.setenv("METRICS", value)
    (refusal,) = planned(wanted).refusals
    assert refusal.code == "no-metrics-url"
    assert "url is env:METRICS" in refusal.text
    assert "s3cret" not in f"{refusal}"
    monkeypatch.setenv("METRICS", "http://127.0.0.1:9090")
    assert planned(wanted).refusals == ()
