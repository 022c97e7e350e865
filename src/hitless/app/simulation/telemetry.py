"""What the recorder of the simulated world counts, second by second, and what of it gets lost."""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field

from hitless.plan.instances import Slot
from hitless.plan.ports import Clock
from hitless.signals.ports import ArmCount, Second

LAG_S = 1.0  # a second is closed so long after its end
ASK_AGAIN_S = 0.5

Arm = tuple[str, Slot]


@dataclass(slots=True)
class Telemetry:
    """Counts of all arms; seconds in which something is lost, and times in which the recorder is away."""

    clock: Clock
    begun: float  # seconds since the epoch
    arms: dict[int, dict[Arm, list[int]]] = field(default_factory=dict)  # requests, failed, users, bad users
    lost: set[int] = field(default_factory=set)
    away: list[tuple[float, float]] = field(default_factory=list)

    def count(self, at: float, arm: Arm, *, failed: bool, known: bool) -> None:
        """Count one request; `known`: its user is known."""
        second = self.arms.setdefault(int(at), {})
        counts = second.get(arm)
        if counts is None:
            counts = second[arm] = [0, 0, 0, 0]
        counts[0] += 1
        counts[1] += failed
        if known:
            counts[2] += 1
            counts[3] += failed

    def lose(self, seconds: Iterable[int]) -> None:
        """Let records of these seconds be lost on the way."""
        self.lost.update(seconds)

    def second(self, at: int) -> Second:
        """Return one second as the recorder tells it."""
        if at < self.begun:
            return Second(at=at, lost=1)
        counts = {
            arm: ArmCount(requests=all_, failed=failed, users=users, bad_users=bad)
            for arm, (all_, failed, users, bad) in self.arms.get(at, {}).items()
        }
        return Second(at=at, arms=counts, lost=int(at in self.lost))

    def is_away(self, now: float) -> bool:
        """Whether the recorder does not answer."""
        return any(begin <= now < end for begin, end in self.away)

    async def follow(self, since: float) -> AsyncIterator[Second]:
        """Yield every closed second from `since` on, then as they come. Raises OSError while the recorder is away."""
        at = int(-(-since // 1))
        while True:
            now = self.clock.now()
            if self.is_away(now):
                raise ConnectionRefusedError("the simulated recorder is away")
            if now >= at + 1 + LAG_S:
                yield self.second(at)
                at += 1
            else:
                await self.clock.sleep(max(0.001, min(at + 1 + LAG_S - now, ASK_AGAIN_S)))
