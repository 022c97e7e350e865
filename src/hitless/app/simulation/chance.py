"""From a seed to a case: which change, on which versions, with what going wrong, and what people say meanwhile."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hitless.app.simulation import shop
from hitless.app.simulation.character import Character, Characters
from hitless.app.simulation.faults import Kind, Seeded
from hitless.app.simulation.run import Order, Outcome, Troubles, simulate
from hitless.app.simulation.world import Setting
from hitless.plan.plan import Plan
from hitless.runtime.steps import Start

Rates = dict[Kind, float]  # per touch
Version = tuple[str, str]  # service and version

MOODS: Mapping[str, Rates] = {
    "calm": {},
    "killed": {"kill": 0.02},
    "failing": {"fail": 0.03},
    "slow": {"slow": 0.05},
    "paused": {"pause": 0.02, "kill": 0.005},
    "without a store": {"lose store": 0.01, "kill": 0.005},
    "everything": {"kill": 0.01, "fail": 0.01, "slow": 0.02, "pause": 0.01, "lose store": 0.005},
}
STUCK = ("start", "launch", "stop", "admit", "drain", "remove", "route", "serve", "withdrawn")
TOGETHER = (("keep", "check"), ("edit", "restart"), ("keep", "flag"))  # changes that share nothing
CHARACTERS: Sequence[tuple[float, Character]] = (
    (0.50, Character()),
    (0.12, Character(ready_after_s=1.2)),
    (0.10, Character(fails=1.0)),
    (0.10, Character(fails=0.6)),
    (0.08, Character(lives_s=1.5)),
    (0.05, Character(lives_s=0.1)),
    (0.02, Character(ready_after_s=1e9)),
    (0.03, Character(check_code=1)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Everything that a seed decides."""

    changes: tuple[str, ...]
    mood: str
    setting: Setting
    plans: tuple[Plan, ...]
    faults: Seeded
    orders: tuple[Order, ...]
    troubles: Troubles

    def describe(self) -> str:
        """Say it in one line."""
        told = ", ".join(f"{order.verb} after {order.at_s:.1f} s" for order in self.orders) or "nothing"
        stuck = f"; {self.faults.stuck} fails again and again" if self.faults.stuck else ""
        return f"{' and '.join(self.changes)}; controllers {self.mood}{stuck}; told {told}; {self.troubles}"


def case_of(seed: int) -> Case:
    """Return the case of a seed in the small shop."""
    rng = random.Random(seed)  # noqa: S311  a simulation, no secret
    together = rng.random() < 0.15
    changes = rng.choice(TOGETHER) if together else (rng.choice(sorted(shop.CHANGES)),)
    plans = tuple(shop.plan_of(change) for change in changes)
    return chances(shop.setting_of(changes[0]), plans, rng, changes)


def chances(setting: Setting, plans: tuple[Plan, ...], rng: random.Random, changes: tuple[str, ...]) -> Case:
    """Draw what goes wrong around given plans."""
    setting = replace(setting, characters=Characters(characters_of(setting, plans, rng)), clients=_clients(rng))
    mood = rng.choice(sorted(MOODS))
    boundary = 0.02 if mood in ("killed", "everything") else 0.0
    stuck = rng.choice(STUCK) if rng.random() < 0.1 else ""
    return Case(
        changes=changes,
        mood=mood,
        setting=setting,
        plans=plans,
        faults=Seeded(random.Random(rng.random()), MOODS[mood], boundary, stuck, 30 if stuck else 0),  # noqa: S311
        orders=_orders(rng, gate=any(plan.gate is not None for plan in plans)),
        troubles=_troubles(rng),
    )


def characters_of(setting: Setting, plans: Sequence[Plan], rng: random.Random) -> Mapping[Version, Character]:
    """Draw how the versions behave that the plans bring; those that run already are sound."""
    known = {(launch.service, launch.version) for launch in setting.stand.running.values()}
    drawn: dict[Version, Character] = {}
    for step in (step for plan in plans for step in plan.steps):
        if isinstance(step, Start):
            key = (step.launch.service, step.launch.version)
            if key not in known and key not in drawn:
                drawn[key] = rng.choices([each for _, each in CHARACTERS], [weight for weight, _ in CHARACTERS])[0]
    return drawn


def _clients(rng: random.Random) -> Mapping[str, float]:
    lateness = {f"client-{number}": rng.uniform(0.01, 2.0) for number in range(rng.randint(0, 3))}
    if rng.random() < 0.05:
        lateness["silent"] = 1e9
    return lateness


def _orders(rng: random.Random, *, gate: bool) -> tuple[Order, ...]:
    orders = []
    if rng.random() < 0.25:
        orders.append(Order(rng.uniform(0.0, 10.0), "abort"))
    if rng.random() < 0.15:
        at_s = rng.uniform(0.0, 8.0)
        orders += [Order(at_s, "hold"), Order(at_s + rng.uniform(0.1, 5.0), "resume")]
    if gate and rng.random() < 0.7:
        orders.append(Order(rng.uniform(0.1, 2.0), "contract"))
    if rng.random() < 0.3:
        orders.append(Order(rng.uniform(0.1, 8.0), "rollback"))
    return tuple(orders)


def _troubles(rng: random.Random) -> Troubles:
    deaths = tuple(sorted(rng.uniform(0.0, 15.0) for _ in range(rng.randint(1, 4)))) if rng.random() < 0.25 else ()
    lost = frozenset(rng.randint(0, 20) for _ in range(rng.randint(1, 6))) if rng.random() < 0.2 else frozenset()
    away: tuple[tuple[float, float], ...] = ()
    if rng.random() < 0.15:
        begin = rng.uniform(0.0, 10.0)
        away = ((begin, begin + rng.uniform(0.5, 8.0)),)
    return Troubles(deaths=deaths, lost=lost, away=away, differs=rng.random() < 0.05)


def run_seed(seed: int) -> Outcome:
    """Run one seed in the small shop."""
    return run_case(case_of(seed), seed)


def run_case(case: Case, seed: int) -> Outcome:
    """Run one case."""
    return simulate(case.setting, case.plans, case.faults, seed, case.orders, case.troubles)
