"""The guard of errors: does a request of the canary fail more often than one of the baseline, in the same second?"""

import math
from dataclasses import asdict, dataclass
from typing import Any

from hitless.verdict.fine import Fine
from hitless.verdict.guard import Counts, Setting
from hitless.verdict.mixture import Mixture, Starts
from hitless.verdict.ticks import Arm

RATIOS = (1.5, 2.0, 3.0, 5.0, 10.0, 25.0)  # of the tolerated one
PRIOR = (0.28, 0.24, 0.16, 0.14, 0.10, 0.08)


@dataclass(frozen=True, slots=True)
class Errors:
    """Bad requests (or users) against the concurrent baseline.

    `worse` is the ratio of bad rates that is still tolerated (1.0: any worsening counts), `fine_below` asks for a
    promotion once the ratio is shown to be below it. Raises ValueError for a limit that cannot be.
    """

    worse: float = 1.0
    fine_below: float | None = None
    weight: float = 1.0
    on: str = ""
    name: str = "errors"

    def __post_init__(self) -> None:
        checked_limits(self.worse, self.fine_below, self.weight)

    def watch(self, setting: Setting) -> "ErrorsWatch":
        """Begin to watch."""
        return ErrorsWatch(self, setting)

    def described(self) -> dict[str, Any]:
        """Return the arguments that make this guard again."""
        return asdict(self)


def checked_limits(worse: float, fine_below: float | None, weight: float) -> None:
    """Raise ValueError for a tolerated ratio, a limit or a weight that cannot be."""
    if not (1.0 <= worse < 1000.0):
        raise ValueError(f"worse={worse} is no tolerated ratio: 1.0 (any worsening) or more")
    if fine_below is not None and not (1.0 < fine_below < 1000.0):
        raise ValueError(f"fine_below={fine_below} is no limit: it must be above 1.0")
    if not (0.0 < weight < math.inf):
        raise ValueError(f"weight={weight} is no part of a budget")


class ErrorsWatch:
    """Follows the errors of both arms."""

    def __init__(self, guard: Errors, setting: Setting) -> None:
        ratios = tuple(ratio * guard.worse for ratio in RATIOS)
        starts = Starts(setting.horizon_s)
        self._mixture = Mixture(ratios, PRIOR, guard.worse, setting.cap, starts, setting.least_bad)
        self._fine = None if guard.fine_below is None else Fine(guard.fine_below)
        self.counts = Counts()

    @property
    def worse(self) -> float:
        """Evidence that the canary is worse."""
        return self._mixture.wealth

    @property
    def fine(self) -> float | None:
        """Evidence that the ratio is below the limit."""
        return None if self._fine is None else self._fine.wealth

    def feed(self, canary: Arm, baseline: Arm, elapsed_s: float) -> bool:
        """Take one tick."""
        requests, bad = canary.requests, canary.bad
        against, against_bad = baseline.requests, baseline.bad
        if not (requests and against):
            return False
        had = self.counts
        self.counts = Counts(
            had.canary + requests, had.canary_bad + bad, had.baseline + against, had.baseline_bad + against_bad
        )
        if bad or against_bad:
            self._mixture.start(elapsed_s)
            self._mixture.feed(requests, bad, against, against_bad)
            if self._fine is not None:
                self._fine.feed(requests, bad, against, against_bad)
        return True

    def state(self) -> dict[str, Any]:
        """Return all that the future depends on."""
        mixture = self._mixture
        return {
            "counts": list(self.counts),
            "x": mixture.x,
            "rest": mixture.rest,
            "put": mixture.put,
            "bad": mixture.bad,
            "fine": None if self._fine is None else self._fine.x,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a state again."""
        mixture = self._mixture
        self.counts = Counts(*state["counts"])
        mixture.x, mixture.rest, mixture.put = list(state["x"]), state["rest"], state["put"]
        mixture.bad = state["bad"]
        if self._fine is not None:
            self._fine.x = list(state["fine"])
