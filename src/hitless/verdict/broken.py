"""The breaker of a comparison: a canary that is plainly broken goes at once, unless everything was broken already."""

from typing import Any

from hitless.verdict.breaker import Breaker
from hitless.verdict.ticks import Tick

HEALTHY = 0.05  # bad rate of the baseline up to which half of the canary's requests are never bad by chance
KNOWN = 20  # requests of the baseline before it counts


class Broken:
    """Trips when half of at least 20 canary requests in 5 s are bad: P(Bin(20, 0.05) >= 10) = 1e-8 if it is healthy."""

    def __init__(self) -> None:
        self._breaker = Breaker()
        self._requests = self._bad = 0  # of the baseline
        self.reason = ""

    def feed(self, tick: Tick) -> None:
        """Take one tick."""
        if tick.baseline is not None:
            self._requests += tick.baseline.requests
            self._bad += tick.baseline.bad
        if tick.canary is None or not self._breaker.feed(tick.t, tick.canary.requests, tick.canary.bad):
            return
        if not self.reason and (self._requests < KNOWN or self._bad <= HEALTHY * self._requests):
            requests, bad = (sum(each[part] for each in self._breaker.seconds) for part in (1, 2))
            self.reason = f"{bad} of {requests} requests of the canary are bad within {self._breaker.window_s} s"

    def state(self) -> dict[str, Any]:
        """Return all that the future depends on."""
        return {"seconds": self._breaker.seconds, "baseline": [self._requests, self._bad], "reason": self.reason}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a state again."""
        for second in state["seconds"]:
            self._breaker.feed(*second)
        self._requests, self._bad = state["baseline"]
        self.reason = state["reason"]
