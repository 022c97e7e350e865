"""Sparse seconds are weighed together: in a second with three requests there is hardly ever one of each arm."""

from typing import NamedTuple

ENOUGH = 20  # requests of both arms together that are weighed at once
LONGEST_S = 600.0  # that they may be apart


class Block(NamedTuple):
    """Requests and bad ones of both arms."""

    canary: int = 0
    canary_bad: int = 0
    baseline: int = 0
    baseline_bad: int = 0

    @property
    def requests(self) -> int:
        """Those of both arms."""
        return self.canary + self.baseline

    @property
    def comparable(self) -> bool:
        """Whether both arms have any."""
        return self.canary > 0 and self.baseline > 0


class Together:
    """Puts seconds together until both arms have `ENOUGH` requests in all.

    When that is does not depend on what was bad, nor on which arm a request went to. So, given the bad requests of a
    block, those of the canary are as many as chance deals it, at any error rate and any drift of it within the block,
    and what holds for a second holds for a block.
    """

    __slots__ = ("_since_s", "_waiting")

    def __init__(self) -> None:
        self._waiting = Block()
        self._since_s = 0.0

    @property
    def waits(self) -> bool:
        """Whether any requests wait."""
        return self._waiting.requests > 0

    @property
    def comparable(self) -> bool:
        """Whether requests of both arms wait."""
        return self._waiting.comparable

    def add(self, second: Block, elapsed_s: float) -> list[Block]:
        """Take a second; return what is to be weighed now, in order."""
        closed: list[Block] = []
        if self._waiting.requests and elapsed_s - self._since_s >= LONGEST_S:
            closed.append(self._waiting)
            self._waiting = Block()
        if not self._waiting.requests:
            self._since_s = elapsed_s
        self._waiting = Block(*(had + more for had, more in zip(self._waiting, second, strict=True)))
        if self._waiting.requests >= ENOUGH:
            closed.append(self._waiting)
            self._waiting = Block()
        return closed

    def state(self) -> list[float]:
        """Return all that the future depends on."""
        return [*self._waiting, self._since_s]

    def restore(self, state: list[float]) -> None:
        """Take up a state again."""
        *counts, self._since_s = state
        self._waiting = Block(*(int(count) for count in counts))
