"""The guards that need no baseline: the absolute circuit breaker and the crash guard. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from hitless.plan.instances import InstanceId, Slot, other
from hitless.plan.ports import StepFailed
from hitless.signals.ends import Ends
from hitless.signals.ports import ArmCount, Second
from hitless.verdict.breaker import Breaker

WINDOW_S = 5
LEAST_REQUESTS = 20  # in the window
BAD_SHARE = 0.5
CRASHES = 2  # restarts that nobody asked for
CRASHES_CODE = "canary-crashes"

NOTHING = ArmCount()


@dataclass(slots=True, kw_only=True)
class Harm:
    """Watches the new version of one service; what it sees is final."""

    service: str
    slot: Slot
    crashes: int = CRASHES  # so many ends of its processes are too many
    reason: StepFailed | None = None
    outage: bool = False  # the old version fails as plainly: what both feel is not the new one's fault
    _breaker: Breaker = field(default_factory=lambda: Breaker(LEAST_REQUESTS, BAD_SHARE, WINDOW_S))
    _old: Breaker = field(default_factory=lambda: Breaker(LEAST_REQUESTS, BAD_SHARE, WINDOW_S))
    _seen: int = -1  # the last second that was looked at
    ends: Ends = field(init=False)

    def __post_init__(self) -> None:
        self.ends = Ends(service=self.service, slot=self.slot)

    def count(self, second: Second) -> None:
        """Look at one second. A lost one shows less than there was, never more: what failed in it counts."""
        if second.at <= self._seen:  # it comes again
            return
        self._seen = second.at
        arm = second.arms.get((self.service, self.slot), NOTHING)
        old = second.arms.get((self.service, other(self.slot)), NOTHING)
        trips = self._breaker.feed(second.at, arm.requests, arm.failed)
        self.outage = self._old.feed(second.at, old.requests, old.failed) and trips
        if trips and not self.outage and self.reason is None:
            requests, failed = (sum(each[part] for each in self._breaker.seconds) for part in (1, 2))
            self.reason = StepFailed(
                "canary-fails",
                f"the new version of {self.service} fails {failed} of {requests} requests in {WINDOW_S} s",
                f"see what it says: hitless logs {self.service}",
            )

    def restarted(self, restarts: Mapping[InstanceId, int] | None) -> None:
        """Look at the restarts so far of the instances that run; None: nobody can say."""
        self.ends.look(restarts)
        if self.ends.total >= self.crashes and self.reason is None:
            names = ", ".join(str(each) for each, times in sorted(self.ends.by.items()) if times)
            self.reason = StepFailed(
                CRASHES_CODE,
                f"the new version of {self.service} ended {self.ends.total} times by itself ({names})",
                f"see its last words: hitless logs {self.service}",
            )
