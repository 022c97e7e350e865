"""The guard of errors: does a request of the canary fail more often than one of the baseline, in the same second?"""

import math
from dataclasses import asdict, dataclass
from typing import Any

from hitless.verdict.fine import Fine
from hitless.verdict.guard import Counts, Setting, Watch
from hitless.verdict.mixture import Mixture, Stake, Starts
from hitless.verdict.placebo import Placebos
from hitless.verdict.proof import Proof
from hitless.verdict.ticks import Arm, checked_numbers
from hitless.verdict.together import ENOUGH, Block, Together

RATIOS = (1.5, 2.1, 4.0, 9.0, 25.0)  # of the tolerated one
PRIOR = (0.315, 0.25, 0.18, 0.07, 0.185)
LATER = (0.17, 0.36, 0.27, 0.08, 0.12)  # of what is bet on later moments: there, time matters most for x2 to x5
HIGHEST = 1000.0  # ratio that can be tolerated
WITHOUT_FIRST = (0.12, 0.11, 0.08, 0.25, 0.2)  # the stake once more, where the canary's first bad user is not counted
REACH = 0.5  # of the threshold, which that has to reach
ONE_USER = "undecided: one bad user may have brought most of the evidence, it needs a second bad user"
COMMON = 0.03  # a bad rate of the baseline from which on the good requests tell something too
LEARN = 200  # requests of the baseline before that is believed
CLUSTERED = "errors are clustered: count users, or compare groups (Exchangeable)"
REMEMBER = 50_000  # requests after which the past counts half


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
        checked_names(self.name, self.on)

    def watch(self, setting: Setting) -> "ErrorsWatch":
        """Begin to watch."""
        return ErrorsWatch(self, setting)

    def described(self) -> dict[str, Any]:
        """Return the arguments that make this guard again."""
        return asdict(self)


def checked_limits(worse: float, fine_below: float | None, weight: float) -> None:
    """Raise TypeError or ValueError for a tolerated ratio, a limit or a weight that cannot be."""
    checked_numbers(worse=worse, fine_below=1.0 if fine_below is None else fine_below, weight=weight)
    if not (1.0 <= worse <= HIGHEST):
        raise ValueError(f"worse={worse} is no tolerated ratio from 1.0 (any worsening) to {HIGHEST:g}")
    if fine_below is not None and not (1.0 < fine_below <= HIGHEST):
        raise ValueError(f"fine_below={fine_below} is no limit: it is above 1.0 and at most {HIGHEST:g}")
    if not (0.0 < weight < math.inf):
        raise ValueError(f"weight={weight} is no part of a budget")


def checked_names(name: object, on: object) -> None:
    """Raise TypeError or ValueError for a name of a guard, or of a place, that is none."""
    if not isinstance(name, str) or not isinstance(on, str):
        raise TypeError(f"name={name!r}, on={on!r}: two texts")
    if not name:
        raise ValueError("a guard needs a name")


class ErrorsWatch(Watch):
    """Follows the errors of both arms. Where groups of the baseline look worse than the rest, it says no more."""

    def __init__(self, guard: Errors, setting: Setting) -> None:
        ratios = tuple(ratio * guard.worse for ratio in RATIOS)
        stake = Stake(PRIOR, Starts(setting.horizon_s), LATER)
        self._mixture = Mixture(ratios, stake, guard.worse, setting.cap, setting.least_bad)
        second = [without / part / REACH for without, part in zip(WITHOUT_FIRST, PRIOR, strict=True)]
        self._proof = Proof(stake, second, setting.alpha)
        self._fine = None if guard.fine_below is None else Fine(guard.fine_below)
        self._recent, self._recent_bad = 0.0, 0.0  # of the baseline
        self._placebos = Placebos(setting.alpha)
        self._sparse = Together()
        self._least = setting.least_bad
        self.ready = self._least <= 0
        self.null = guard.worse
        self.counts = Counts()

    @property
    def worse(self) -> float:
        """Evidence that the canary is worse; from half the threshold on, it does not rest on one bad user."""
        return 0.0 if self.doubt else self._proof.wealth

    @property
    def waits(self) -> str:
        """Say that the evidence is there but for a second bad user."""
        return ONE_USER if self._proof.waits else ""

    @property
    def fine(self) -> float | None:
        """Evidence that the ratio is below the limit."""
        if self._fine is None:
            return None
        return 0.0 if self.doubt else self._fine.wealth

    def feed(self, canary: Arm, baseline: Arm, elapsed_s: float) -> bool:
        """Take one tick."""
        if baseline.parts:
            self._look_at_groups(baseline.parts)
        second = Block(canary.requests, canary.bad, baseline.requests, baseline.bad)
        if second.canary + second.baseline < ENOUGH or self._sparse.waits:
            return self._weigh_together(second, elapsed_s)
        if not (second.canary and second.baseline):
            return False
        self._weigh(second, elapsed_s)
        return True

    def _weigh_together(self, second: Block, elapsed_s: float) -> bool:
        blocks = self._sparse.add(second, elapsed_s)
        for block in blocks:
            if block.comparable:
                self._weigh(block, elapsed_s)
        return second.requests > 0 and (self._sparse.comparable or any(block.comparable for block in blocks))

    def _weigh(self, block: Block, elapsed_s: float) -> None:
        """Bet on requests of both arms."""
        requests, bad, against, against_bad = block
        self.counts = self.counts.plus(requests, bad, against, against_bad)
        self.ready = self.counts.canary_bad >= self._least
        rate = self._common_rate()
        if bad or against_bad or rate is not None:
            self._mixture.stake.start(elapsed_s)
            self._mixture.feed(requests, bad, against, against_bad, rate)
            if self._fine is not None:
                self._fine.feed(requests, bad, against, against_bad)
        self._remember(against, against_bad)

    def _look_at_groups(self, parts: tuple[tuple[int, int], ...]) -> None:
        self._placebos.feed(parts)
        self.doubt = CLUSTERED if self._placebos.clustered else ""

    def _common_rate(self) -> float | None:
        if self._recent < LEARN or self._recent_bad < COMMON * self._recent:
            return None
        return min((self._recent_bad + 0.5) / (self._recent + 1.0), 0.98)

    def _remember(self, requests: int, bad: int) -> None:
        self._recent += requests
        self._recent_bad += bad
        if self._recent > REMEMBER:
            self._recent, self._recent_bad = self._recent / 2.0, self._recent_bad / 2.0

    def state(self) -> dict[str, Any]:
        """Return all that the future depends on."""
        return {
            "counts": list(self.counts),
            "stake": self._mixture.stake.state(),
            "bad": self._mixture.bad,
            "placebos": self._placebos.state(),
            "sparse": self._sparse.state(),
            "recent": [self._recent, self._recent_bad],
            "fine": None if self._fine is None else self._fine.x,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a state again."""
        self.counts = Counts(*state["counts"])
        self.ready = self.counts.canary_bad >= self._least
        self._mixture.stake.restore(state["stake"])
        self._mixture.bad = state["bad"]
        self._placebos.restore(state["placebos"])
        self._sparse.restore(state["sparse"])
        self.doubt = CLUSTERED if self._placebos.clustered else ""
        self._recent, self._recent_bad = state["recent"]
        if self._fine is not None:
            self._fine.x = list(state["fine"])
