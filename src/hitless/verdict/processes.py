"""The guards of the processes behind the canary: do they end more often, are they full?"""

import math
from dataclasses import asdict, dataclass
from typing import Any

from hitless.verdict.errors import checked_limits, checked_names
from hitless.verdict.guard import Counts, Setting, Watch
from hitless.verdict.mixture import Mixture, Stake, Starts
from hitless.verdict.ticks import Arm, checked_numbers

RATIOS = (3.0, 10.0, 100.0)
PRIOR = (0.3, 0.4, 0.3)


@dataclass(frozen=True, slots=True)
class Crashes:
    """Ends of processes that nobody asked for, per instance and second, against the baseline."""

    weight: float = 1.0
    on: str = ""
    name: str = "crashes"

    def __post_init__(self) -> None:
        checked_limits(1.0, None, self.weight)
        checked_names(self.name, self.on)

    def watch(self, setting: Setting) -> "CrashesWatch":
        """Begin to watch."""
        return CrashesWatch(setting)

    def described(self) -> dict[str, Any]:
        """Return the arguments that make this guard again."""
        return asdict(self)


class CrashesWatch(Watch):
    """Follows the crashes of both arms; an instance that crashes twice in a second has crashed."""

    def __init__(self, setting: Setting) -> None:
        self._mixture = Mixture(RATIOS, Stake(PRIOR, Starts(setting.horizon_s)), 1.0, setting.cap, 2)
        self.counts = Counts()

    @property
    def worse(self) -> float:
        """Evidence that the canary crashes more often."""
        return self._mixture.stake.wealth

    def feed(self, canary: Arm, baseline: Arm, elapsed_s: float) -> bool:
        """Take one tick."""
        if not (canary.instances and baseline.instances):
            return False
        ours, theirs = min(canary.crashes, canary.instances), min(baseline.crashes, baseline.instances)
        self.counts = self.counts.plus(canary.instances, ours, baseline.instances, theirs)
        if ours or theirs:
            self._mixture.stake.start(elapsed_s)
            self._mixture.feed(canary.instances, ours, baseline.instances, theirs)
        return True

    def state(self) -> dict[str, Any]:
        """Return all that the future depends on."""
        return {"stake": self._mixture.stake.state(), "bad": self._mixture.bad, "counts": list(self.counts)}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a state again."""
        self._mixture.stake.restore(state["stake"])
        self._mixture.bad, self.counts = state["bad"], Counts(*state["counts"])


@dataclass(frozen=True, slots=True)
class Saturation:
    """The load of the canary's scarcest resource, absolutely: at `limit` or above for `for_s` seconds on end.

    Where the baseline is as full, the new version is not to blame and nothing happens. Raises ValueError.
    """

    limit: float = 0.9
    for_s: int = 30
    on: str = ""
    name: str = "saturation"
    weight: float = 0.0  # no statistics, no part of the budget

    def __post_init__(self) -> None:
        checked_names(self.name, self.on)
        checked_numbers(limit=self.limit, for_s=self.for_s, weight=self.weight)
        if not (0.0 < self.limit < math.inf and self.for_s >= 1 and self.weight == 0.0):
            raise ValueError(f"limit={self.limit}, for_s={self.for_s}, weight={self.weight}: a load, seconds, and 0")

    def watch(self, setting: Setting) -> "SaturationWatch":
        """Begin to watch."""
        return SaturationWatch(self)

    def described(self) -> dict[str, Any]:
        """Return the arguments that make this guard again."""
        return asdict(self)


class SaturationWatch(Watch):
    """Knows since when the canary alone has been full; a look need not come every second."""

    def __init__(self, guard: Saturation) -> None:
        self._guard = guard
        self._since_s: float | None = None  # when it began to be full
        self._last_s = 0.0

    @property
    def alarm(self) -> str:
        """Say that the canary is full."""
        if self._since_s is None or (full_s := self._last_s - self._since_s + 1) < self._guard.for_s:
            return ""
        return f"the canary alone has been at {self._guard.limit:g} of its capacity or above for {full_s:.0f} s"

    def feed(self, canary: Arm, baseline: Arm, elapsed_s: float) -> bool:
        """Take one tick."""
        if canary.load is None:
            return False
        alone = baseline.load is None or baseline.load < self._guard.limit
        if canary.load < self._guard.limit or not alone:
            self._since_s = None
        elif self._since_s is None or elapsed_s - self._last_s > self._guard.for_s:  # who did not look does not know
            self._since_s = elapsed_s
        self._last_s = elapsed_s
        return True

    def state(self) -> dict[str, Any]:
        """Return all that the future depends on."""
        return {"since_s": self._since_s, "last_s": self._last_s}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a state again."""
        self._since_s, self._last_s = state["since_s"], state["last_s"]
