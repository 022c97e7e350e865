"""The breaker of a comparison: a canary that is plainly broken goes at once, unless everything is broken."""

from typing import Any

from hitless.verdict.breaker import Breaker
from hitless.verdict.ticks import Arm, Tick

HEALTHY = 0.05  # bad rate of the baseline up to which half of the canary's requests are never bad by chance
KNOWN = 20  # requests of the baseline before it counts
ILL = 0.1  # bad rate of the baseline in these very seconds at which what both arms meet is not the canary's fault
NOBODY = Arm(0, 0)


class Broken:
    """Trips when half of at least 20 canary requests in 5 s are bad: P(Bin(20, 0.05) >= 10) = 1e-8 if it is healthy.

    The baseline must have been well so far, and in the same seconds: an incident of both arms is nobody's fault.
    """

    def __init__(self) -> None:
        self._breaker = Breaker()
        self._incident = Breaker(requests=1, share=ILL)  # of the baseline
        self._requests = self._bad = 0  # of the baseline
        self.reason = ""

    def feed(self, tick: Tick) -> None:
        """Take one tick."""
        canary, baseline = tick.canary or NOBODY, tick.baseline or NOBODY
        self._requests += baseline.requests
        self._bad += baseline.bad
        ill = self._incident.feed(tick.t, baseline.requests, baseline.bad)
        if not self._breaker.feed(tick.t, canary.requests, canary.bad) or ill or tick.canary is None:
            return
        if not self.reason and (self._requests < KNOWN or self._bad <= HEALTHY * self._requests):
            requests, bad = (sum(each[part] for each in self._breaker.seconds) for part in (1, 2))
            self.reason = f"{bad} of {requests} requests of the canary are bad within {self._breaker.window_s} s"

    def state(self) -> dict[str, Any]:
        """Return all that the future depends on."""
        return {
            "seconds": self._breaker.seconds,
            "incident": self._incident.seconds,
            "baseline": [self._requests, self._bad],
            "reason": self.reason,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a state again."""
        for kept, breaker in ((state["seconds"], self._breaker), (state["incident"], self._incident)):
            for second in kept:
                breaker.feed(*second)
        self._requests, self._bad = state["baseline"]
        self.reason = state["reason"]
