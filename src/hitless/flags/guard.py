"""Whether users meet more failures since a flag was raised than before it. Pure.

A flag has no second version beside it, so its users are compared with those of the time before. The comparison may be
looked at after every second: under "not more than `worse` times as often" the product of likelihood ratios is a
martingale, so that it ever reaches 1/alpha has a probability of at most alpha (Ville's inequality).
"""

import math
from dataclasses import dataclass, field

HIGHER = (1.5, 2.0, 4.0, 8.0, 16.0, 64.0)  # times the bound: how much worse it might be
LEAST_BAD_USERS = 3  # before this many nothing is said, however good the time before was
SMALLEST_SHARE = 0.0005  # a time before without failures still allows for one user in 2000


@dataclass(slots=True, kw_only=True)
class BeforeAfter:
    """One comparison: feed the time before, then the time since, second by second."""

    worse: float = 2.0  # how many times as often counts as worse
    alpha: float = 0.01
    users_before: int = 0
    bad_before: int = 0
    users: int = 0
    bad: int = 0
    _logs: list[float] = field(default_factory=lambda: [0.0] * len(HIGHER))

    def before(self, users: int, bad: int) -> None:
        """Count users before the flag was raised, and those of them who met a failure."""
        self.users_before += users
        self.bad_before += bad

    def since(self, users: int, bad: int) -> bool:
        """Count users since; tell whether it is worse."""
        bad = min(bad, users)
        self.users += users
        self.bad += bad
        bound = self._bound()
        for position, times in enumerate(HIGHER):
            higher = min(0.999, bound * times)
            gain = bad * math.log(higher / bound) + (users - bad) * math.log((1 - higher) / (1 - bound))
            self._logs[position] += gain
        return self.bad >= LEAST_BAD_USERS and self._evidence() >= 1 / self.alpha

    def _evidence(self) -> float:
        top = max(self._logs)
        if top > 500:
            return math.inf
        return math.exp(top) * sum(math.exp(log - top) for log in self._logs) / len(self._logs)

    def _bound(self) -> float:
        """Return the share of bad users that still counts as not worse: twice the standard error above what was."""
        before = self.bad_before / self.users_before if self.users_before else 0.0
        margin = 2 * math.sqrt(max(self.bad_before, 1)) / self.users_before if self.users_before else 0.05
        return min(0.9, max(SMALLEST_SHARE, self.worse * (before + margin)))
