"""What goes wrong for a controller, and when: at a chosen point, or by a seed."""

import random
from dataclasses import dataclass, field
from typing import Literal, Protocol

from hitless.engine.ports import Phase

Kind = Literal["kill", "fail", "slow", "pause", "lose store"]
SIDES = ("before", "after")
STORE = ("create", "append")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong at one touch of the world."""

    kind: Kind
    after: bool = False  # the effect is in force already, and nobody hears of it
    seconds: float = 0.0


class Faults(Protocol):
    """Asked at each touch and each boundary."""

    def at_touch(self, what: str) -> Fault | None:
        """Return what goes wrong when something is done to the world."""
        ...

    def at_boundary(self, position: int, phase: Phase, *, backward: bool) -> bool:
        """Tell whether the controller is killed here."""
        ...


@dataclass(slots=True)
class Exactly:
    """One fault at one touch, or one kill at one boundary; counts the touches as it goes."""

    touch: int | None = None  # from 0
    fault: Fault | None = None
    boundary: tuple[int, Phase, bool] | None = None  # position, phase, backward
    touches: int = 0
    struck: bool = False

    def at_touch(self, what: str) -> Fault | None:
        """Return the fault when its turn has come."""
        number = self.touches
        self.touches += 1
        if number == self.touch and self.fault is not None:
            self.struck = True
            return _fitting(self.fault, what)
        return None

    def at_boundary(self, position: int, phase: Phase, *, backward: bool) -> bool:
        """Kill once, at the boundary that is wished for."""
        if self.struck or self.boundary != (position, phase, backward):
            return False
        self.struck = True
        return True


@dataclass(slots=True)
class Seeded:
    """Faults by chance, until there have been enough of them: then the world is calm, and every run must end."""

    rng: random.Random
    rates: dict[Kind, float]  # per touch
    boundary: float = 0.0  # of a kill at each boundary
    stuck: str = ""  # a kind of touch that fails so often in a row, whatever is done
    stuck_for: int = 0
    left: int = 12
    happened: dict[str, int] = field(default_factory=dict)
    touches: int = 0

    def at_touch(self, what: str) -> Fault | None:
        """Draw."""
        self.touches += 1
        if what == self.stuck and self.stuck_for > 0:
            self.stuck_for -= 1
            return Fault(kind="fail")
        if self.left <= 0:
            return None
        chance = self.rng.random()
        for kind, rate in self.rates.items():
            if chance < rate:
                return self._happen(_fitting(self._draw(kind), what))
            chance -= rate
        return None

    def at_boundary(self, position: int, phase: Phase, *, backward: bool) -> bool:
        """Draw."""
        if self.left <= 0 or self.rng.random() >= self.boundary:
            return False
        self._happen(Fault(kind="kill"))
        return True

    def _draw(self, kind: Kind) -> Fault:
        longest = 20.0 if kind == "pause" else 3.0
        return Fault(kind=kind, after=self.rng.random() < 0.5, seconds=self.rng.uniform(0.05, longest))

    def _happen(self, fault: Fault) -> Fault:
        self.left -= 1
        self.happened[fault.kind] = self.happened.get(fault.kind, 0) + 1
        return fault


def _fitting(fault: Fault, what: str) -> Fault:
    """A database either writes or is gone; what is no database does not lose its connection."""
    if fault.kind == "fail" and what in STORE:
        return Fault(kind="lose store", after=fault.after, seconds=fault.seconds)
    if fault.kind == "lose store" and what not in STORE:
        return Fault(kind="fail", after=fault.after, seconds=fault.seconds)
    return fault
