"""The guard of errors where nobody knows who the user is: equal groups of both arms against each other.

One user who hammers, or who always fails, makes plain requests worthless as evidence: they are not independent. Groups
of users are, as long as chance alone decided who is in which. So both arms are split by hash into groups of one size,
and per minute the canary's groups are compared with all groups, the loudest one left out.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

from hitless.verdict.errors import checked_limits, checked_names
from hitless.verdict.guard import PACE, Counts, Setting, Watch
from hitless.verdict.mixture import Stake, Starts
from hitless.verdict.ticks import Arm

BATCH_S = 60
STAKES = (0.02, 0.1, 0.3, 0.6)  # of the wealth, bet on each batch
FEWEST_GROUPS = 8  # of both arms together
QUIET = 0.5  # added to each group, so that silence is no evidence


@dataclass(frozen=True, slots=True)
class Exchangeable:
    """Bad requests without users, by `Arm.parts`: equal hash groups, at least two of them in the canary.

    It needs more time than `Errors`, but neither bursts nor one user who always fails can fake its evidence.
    """

    weight: float = 1.0
    on: str = ""
    name: str = "errors by group"

    def __post_init__(self) -> None:
        checked_limits(1.0, None, self.weight)
        checked_names(self.name, self.on)

    def watch(self, setting: Setting) -> "ExchangeableWatch":
        """Begin to watch."""
        return ExchangeableWatch(setting)

    def described(self) -> dict[str, Any]:
        """Return the arguments that make this guard again."""
        return asdict(self)


def bet(canary: list[int], baseline: list[int], cap: float) -> float:
    """Return the factor of one batch from the bad events of the groups of both arms; its mean is at most 1.

    With s = min(bad, cap) + 1/2, it is the canary's sum without its loudest group, over (k-1)/(n-1) times the sum of
    all n groups without the loudest. If the groups are exchangeable but for one that has any number of bad events more,
    E <= 1. In the canary, with v, beside others whose sum is S: the numerator is S - (max S - v)+, the denominator
    (k-1)/(n-1) of (all others - (their max - v)+), and the max of the others is in the canary with probability
    (k-1)/(n-1). Without such a group the weights of the ordered values fall with the value, and one in the baseline
    only adds to the denominator.
    """
    ours = [min(bad, cap) + QUIET for bad in canary]
    everyone = ours + [min(bad, cap) + QUIET for bad in baseline]
    share = (len(ours) - 1) / (len(everyone) - 1)
    return (math.fsum(ours) - max(ours)) / (share * (math.fsum(everyone) - max(everyone)))


class ExchangeableWatch(Watch):
    """Follows the groups of both arms, minute by minute."""

    null = PACE

    def __init__(self, setting: Setting) -> None:
        self._stake = Stake((1.0 / len(STAKES),) * len(STAKES), Starts(setting.horizon_s))
        self._canary: list[int] = []  # bad requests of the batch, by group
        self._baseline: list[int] = []
        self._since: float | None = None
        self._cap = 1.0  # of one group, from the batches before
        self.counts = Counts()

    @property
    def worse(self) -> float:
        """Evidence that the canary is worse."""
        return self._stake.wealth

    def feed(self, canary: Arm, baseline: Arm, elapsed_s: float) -> bool:
        """Take one tick; both arms must say what their groups met."""
        if len(canary.parts) < 2 or len(canary.parts) + len(baseline.parts) < FEWEST_GROUPS:
            return False
        if (len(canary.parts), len(baseline.parts)) != (len(self._canary), len(self._baseline)):
            self._empty(len(canary.parts), len(baseline.parts))  # the share was changed: begin a new batch
        if self._since is None:
            self._since = elapsed_s
        _into(self._canary, canary.parts)
        _into(self._baseline, baseline.parts)
        self.counts = self.counts.plus(canary.requests, canary.bad, baseline.requests, baseline.bad)
        if elapsed_s - self._since + 1 >= BATCH_S:
            self._weigh(elapsed_s)
        return bool(canary.requests and baseline.requests)

    def _weigh(self, elapsed_s: float) -> None:
        self._stake.start(elapsed_s)
        factor = bet(self._canary, self._baseline, self._cap)
        self._stake.multiply([math.log(1.0 - part + part * factor) for part in STAKES])
        self._cap = 1.0 + 2.0 * sorted(self._baseline)[len(self._baseline) // 2]
        self._empty(len(self._canary), len(self._baseline))

    def _empty(self, canary: int, baseline: int) -> None:
        self._canary, self._baseline, self._since = [0] * canary, [0] * baseline, None

    def state(self) -> dict[str, Any]:
        """Return all that the future depends on."""
        return {
            "stake": self._stake.state(),
            "batch": [self._canary, self._baseline, self._since],
            "cap": self._cap,
            "counts": list(self.counts),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a state again."""
        self._stake.restore(state["stake"])
        self._canary, self._baseline, self._since = state["batch"]
        self._cap, self.counts = state["cap"], Counts(*state["counts"])


def _into(batch: list[int], parts: tuple[tuple[int, int], ...]) -> None:
    for group, (_, failed) in enumerate(parts):
        batch[group] += failed
