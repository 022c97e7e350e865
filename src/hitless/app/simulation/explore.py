"""Every point at which something can go wrong for one plan, one after the other; and chance, by seeds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

from hitless.app.simulation.faults import Exactly, Fault
from hitless.app.simulation.run import Order, Outcome, simulate
from hitless.app.simulation.world import Setting
from hitless.engine.journal import Withheld
from hitless.engine.ports import Phase
from hitless.plan.plan import Plan

PHASES: tuple[Phase, ...] = get_args(Phase)
WAY_BACK = (Order(0.2, "rollback"),)
APPROVED = (Order(0.2, "contract"),)
FAULTS = (
    Fault(kind="kill"),
    Fault(kind="kill", after=True),
    Fault(kind="fail"),
    Fault(kind="fail", after=True),
    Fault(kind="slow", seconds=1.0),
    Fault(kind="pause", seconds=4.0),
    Fault(kind="pause", after=True, seconds=4.0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One case, and what came of it."""

    case: str
    outcome: Outcome


def boundaries(setting: Setting, plan: Plan) -> Iterator[Found]:
    """Kill the controller at every boundary of every step: forward, behind the gate once approved, and back."""
    gate = len(plan.steps) if plan.gate is None else plan.gate
    for position in range(gate):
        yield from _killed_at(setting, plan, position, (), backward=False)
    for position in range(gate):
        yield from _killed_at(setting, plan, position, WAY_BACK, backward=True)
    for position in range(gate, len(plan.steps)):
        yield from _killed_at(setting, plan, position, APPROVED, backward=False)


def _killed_at(
    setting: Setting, plan: Plan, position: int, orders: Sequence[Order], *, backward: bool
) -> Iterator[Found]:
    for phase in PHASES:
        faults = Exactly(boundary=(position, phase, backward))
        outcome = simulate(setting, (plan,), faults, 1, orders)
        withheld = any(isinstance(entry.fact, Withheld) for entry in outcome.facts)
        if not faults.struck and not withheld:
            outcome.broken.append("the boundary was never reached")
        yield Found(case=f"{'undo-' if backward else ''}{phase} of {position}", outcome=outcome)


def touches(setting: Setting, plan: Plan, faults: Sequence[Fault] = FAULTS, *, back: bool = False) -> Iterator[Found]:
    """Let each thing go wrong at every touch of the world."""
    orders = WAY_BACK if back else ()
    calm = Exactly()
    simulate(setting, (plan,), calm, 1, orders)
    for fault in faults:
        for number in range(calm.touches):
            outcome = simulate(setting, (plan,), Exactly(touch=number, fault=fault), 1, orders)
            yield Found(case=f"{fault} at touch {number}", outcome=outcome)


def aborts(setting: Setting, plan: Plan, every_s: float) -> Iterator[Found]:
    """Take the run back at many moments."""
    calm = simulate(setting, (plan,), Exactly(), 1)
    for number in range(int(calm.seconds / every_s)):
        at_s = 0.001 + number * every_s
        yield Found(
            case=f"abort after {at_s:g} s", outcome=simulate(setting, (plan,), Exactly(), 1, (Order(at_s, "abort"),))
        )
