"""A small system to simulate with, and one change of each kind: what the tests enumerate, and seeds choose from."""

import math
from collections.abc import Mapping
from functools import cache

from hitless.app.database_planning import schema_of
from hitless.app.facts import Facts, Occupied, ServiceNow
from hitless.app.plan_database import DatabasePart, Selection
from hitless.app.plan_flags import FlagsNow, FlagsPart
from hitless.app.plan_services import ServicesPart, salt_of
from hitless.app.planner import Planner
from hitless.app.proof.proof import Prover
from hitless.app.proof.state import State
from hitless.app.schema_choice import SchemaChoice
from hitless.app.simulation.front import Crowd
from hitless.app.simulation.stand import Stand
from hitless.app.simulation.world import Setting
from hitless.database.migration import Migration
from hitless.database.observation import DatabaseNow
from hitless.flags.stages import Members
from hitless.plan.change import read_change
from hitless.plan.plan import Plan
from hitless.plan.system import Service, System, read_system
from hitless.runtime.steps import Launch
from hitless.traffic.cohort import bucket
from hitless.traffic.steps import Routing

SHOP = """
system: shop
databases: { main: {} }
groups: { staff: { users: [staff-1, staff-2] } }
services:
  web: { run: [web], version: "1.0", route: /, instances: 2, calls: [orders], drain: 2s }
  orders: { run: [orders], version: "1.0", instances: 3, calls: [accounts], drain: 3s, database: main }
  accounts: { run: [accounts], version: "1.0", instances: 1, drain: 1s, database: main }
"""

CHANGES: Mapping[str, str] = {
    "blue-green": 'services: { orders: { to: "1.1", strategy: blue-green, bake: 2s } }',
    "canary": 'services: { orders: { to: "1.1", steps: [staff, 1%, 5%, 25%, 100%], bake: 1s, no_evidence: 20s } }',
    "rolling": 'services: { orders: { to: "1.1", strategy: rolling, bake: 1s, no_evidence: 20s } }',
    "grow": "services: { orders: { instances: 5 } }",
    "shrink": "services: { orders: { instances: 1 } }",
    "keep": 'services: { web: { to: "2.0", strategy: blue-green, bake: 1s, keep: 10s } }',
    "check": 'services: { accounts: { to: "1.1", steps: [50%, 100%], bake: 1s, no_evidence: 20s, check: [smoke] } }',
    "restart": "services: { accounts: { restart: true, bake: 1s } }",
    "edit": "services: { web: { env: { LEVEL: debug }, strategy: blue-green, bake: 1s, instances: 3 } }",
    "several": """
services:
  web: { to: "2.0", strategy: blue-green, bake: 1s }
  orders: { to: "1.1", steps: [10%, 100%], bake: 1s, no_evidence: 20s }
  accounts: { to: "1.1", strategy: rolling, bake: 1s, no_evidence: 20s }
""",
    "freeze": 'on_failure: freeze\nservices: { orders: { to: "1.1", steps: [25%, 100%], bake: 1s, no_evidence: 9s } }',
    "go-on": 'on_failure: go on\nservices: { orders: { to: "1.1", steps: [25%, 100%], bake: 1s, no_evidence: 9s } }',
    "schema": 'database: { main: [0002_split] }\nservices: { orders: { to: "1.1", strategy: blue-green, bake: 1s } }',
    "flag": "flags: { checkout: { stages: [staff, 50%, everyone], bake: 1s, no_evidence: 20s } }",
    "whole": """
database: { main: [0002_split] }
services:
  orders: { to: "1.1", steps: [10%, 100%], bake: 1s, no_evidence: 20s }
  accounts: { to: "1.1", strategy: blue-green, bake: 1s }
flags: { checkout: { stages: [5%, everyone], bake: 1s, no_evidence: 20s } }
""",
}
STAFF = ("staff-1", "staff-2")
OLD, NEW = "0001_begin", "0002_split"
MIGRATION = "operations: [{ sql: { up: SELECT 1, down: SELECT 1 } }]"
CLIENTS = {"web-a1": 0.05, "orders-a1": 0.4}  # of flags: how late each takes a change


@cache
def system() -> System:
    """Return the shop."""
    return read_system(SHOP, file="shop.yaml")


def launch_of(name: str, section: Service, version: str, schema: str | None) -> Launch:
    """Return how an instance is started, as the real one is told it."""
    return Launch(
        service=name,
        version=version,
        run=section.run,
        cwd="/",
        env=tuple(sorted(section.env.items())),
        database=section.database,
        schema=schema,
    )


@cache
def facts() -> Facts:
    """Return the shop as its first `up` leaves it."""
    services = {}
    for name, section in system().services.items():
        launch = launch_of(name, section, section.version, OLD if section.database else None)
        there = Occupied(launch=launch, numbers=tuple(range(1, section.instances + 1)))
        routing = Routing(service=name, baseline="a", version_a=section.version)
        services[name] = ServiceNow(routing=routing, slots={"a": there})
    return Facts(services=services, requests_per_s={}, long_connections={}, resident_bytes={}, available_bytes=1 << 40)


@cache
def plan_of(name: str) -> Plan:
    """Plan one of the changes on the shop as it runs."""
    change = read_change(f"change: {name}\n{CHANGES[name]}", file=name)
    migration = Migration(name=NEW, text=MIGRATION)
    databases = {
        database: Selection(name=database, wanted=wanted, now=DatabaseNow(current=OLD), folder=(migration,))
        for database, wanted in change.database.items()
    }
    schemas = SchemaChoice(newest=dict.fromkeys(databases, NEW), there={"main": (OLD,)})
    database = DatabasePart(
        system=system(), change=change, selections=databases, services=facts().services, schemas=schemas
    )
    services = ServicesPart(
        system=system(),
        facts=facts(),
        folder="/",
        launch_of=launch_of,
        missing=lambda _: None,
        resolves=lambda _: True,
        change=change,
        schemas=schemas,
    )
    flags = FlagsPart(system=system(), change=change, now=FlagsNow(groups={"staff": Members(users=STAFF)}))
    planner = Planner(
        change=change,
        source=CHANGES[name],
        in_flight={},
        start=State.of(facts(), {"main": frozenset({OLD})}),
        prover=Prover(system=system(), change=change, schema_of=schema_of),
    )
    return planner.plan(database.propose(), services.propose(), flags.propose())


@cache
def users_of(change: str, count: int = 20) -> tuple[str, ...]:
    """Return users of whom some lie in every cohort of a change."""
    salt = salt_of(change)
    bounds = ((0, 100), (100, 500), (500, 2500), (2500, 5000), (5000, 10_000))
    found: list[list[str]] = [[] for _ in bounds]
    each = (count - 2) // len(bounds)
    number = 0
    while any(len(there) < each for there in found):
        user = f"u{number}"
        place = bucket(user, salt)
        there = next(group for group, (low, high) in zip(found, bounds, strict=True) if low <= place < high)
        if len(there) < each:
            there.append(user)
        number += 1
    return (*STAFF, *(user for group in zip(*found, strict=True) for user in group))


def setting_of(change: str) -> Setting:
    """Return the world in which a change is simulated."""
    stand = Stand.of(facts())
    return Setting(
        stand=Stand(
            routings=stand.routings,
            running=stand.running,
            ready=stand.ready,
            schemas={"main": (OLD,)},
            flags={},
        ),
        crowd=Crowd(
            users=users_of(change),
            path=("web", "orders", "accounts"),
            groups={"staff": frozenset(STAFF)},
        ),
        drains={
            name: section.drain if math.isfinite(section.drain) else 1e9 for name, section in system().services.items()
        },
        clients=CLIENTS,
    )
