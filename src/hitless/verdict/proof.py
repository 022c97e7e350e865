"""What a roll-back may rest on: never on one bad user alone."""

from collections.abc import Sequence

from hitless.verdict.mixture import Stake


class Proof:
    """The evidence that may be acted on: from half the threshold on, it must stand without the first bad user too.

    A user who always fails is in one arm by chance, and he alone multiplies the wealth several times. `second` weighs
    the wealth without him, see `Stake.left`; times these weights it has to reach the threshold. What is returned is
    never above the wealth itself, so whatever holds for false alarms still does.
    """

    def __init__(self, stake: Stake, second: Sequence[float], alpha: float) -> None:
        self._stake, self._second, self._half = stake, tuple(second), 0.5 / alpha

    @property
    def wealth(self) -> float:
        """The wealth, or what can be said of it as long as one user may have brought it."""
        return min(self._stake.wealth, self._without()) if self._stake.wealth > self._half else self._stake.wealth

    @property
    def waits(self) -> bool:
        """Tell whether the wealth is more than what it would be without the first bad user."""
        return self._stake.wealth > self._half and self._without() < self._stake.wealth

    def _without(self) -> float:
        stake = self._stake
        parts = zip(stake.x, stake.left, self._second, strict=True)
        return max(self._half, stake.rest + sum([x * left * weight for x, left, weight in parts]))
