"""What the journal has said of a run, and which effects that allows. Pure."""

from dataclasses import dataclass, field

from hitless.app.simulation.effects import (
    Admitted,
    Checking,
    Defined,
    Drained,
    Effect,
    Prepared,
    Removed,
    Retired,
    Routed,
    Schemed,
    Stopped,
)
from hitless.app.simulation.stand import Stand
from hitless.database.steps import Backfill, Contract, Expand, Switch, Verify, Withdraw
from hitless.flags.steps import Stage
from hitless.plan.instances import Slot, other
from hitless.plan.plan import Plan
from hitless.plan.step import Step
from hitless.runtime.steps import Check, Start, Stop
from hitless.traffic.steps import Admit, Drain, Routing, Shift


@dataclass(slots=True)
class Told:
    """What the journal has said of one run so far."""

    plan: Plan
    start: Stand
    open: Step | None = None  # may be touched now
    backward: bool = False  # what is open is an inverse; a step that was begun may still come into force after a turn
    reached: int = 0
    turned_back: bool = False
    approved: bool = False
    went_on: set[int] = field(default_factory=set)  # failed, and the user wants to go on all the same
    began: dict[int, float] = field(default_factory=dict)
    flips: dict[tuple[str, str], int] = field(default_factory=dict)
    ended: str = ""


def covers(step: Step, effect: Effect) -> bool:
    """Tell whether an effect belongs to a step."""
    match (step, effect):
        case (Start(), Prepared(instance, launch)):
            return instance in step.instances and launch == step.launch
        case (Start() | Stop(), Stopped(instance) | Retired(instance)):
            return instance in step.instances
        case (Check(), Checking(instance)):
            return (instance.service, instance.slot) == (step.service, step.slot)
        case (Admit(), Admitted(instance)):
            return instance in step.instances
        case (Drain(), Drained(instance) | Removed(instance)):
            return instance in step.instances
        case (Shift(), Routed(routing)):
            return routing == step.after
        case (Stage(), Defined(flag, definition)):
            return (flag, definition) == (step.flag, step.after)
        case (Expand() | Backfill() | Verify() | Switch() | Contract() | Withdraw(), Schemed(database, version, _)):
            return (database, version) == (step.database, step.version)
        case _:
            return False


def rank(routing: Routing, first: Slot) -> int:
    """How many users meet the new version: a group counts less than any share."""
    if routing.baseline == other(first):
        return 1_000_000
    return 10 * routing.share.buckets + bool(routing.group)
