"""The sentinel: groups of the baseline that play canary. If one of them looks worse, errors come in clusters."""

import math
from typing import Any

MOST = 20  # groups that play
RATIOS = (2.0, 5.0, 25.0)
FEWEST = 4  # bad events of a group before it says anything


class Placebos:
    """Runs the plain bet for groups of the baseline against the rest of it; all of them are healthy by definition."""

    def __init__(self, alpha: float) -> None:
        self._alpha = alpha
        self._x: list[list[float]] = []  # logarithms, by group and ratio
        self._bad: list[int] = []
        self.clustered = False

    def feed(self, parts: tuple[tuple[int, int], ...]) -> None:
        """Take the (requests, bad) of the baseline's groups in one tick."""
        playing = min(len(parts), MOST)
        if playing != len(self._x):
            self._x, self._bad = [[0.0] * len(RATIOS) for _ in range(playing)], [0] * playing
        requests, bad = sum(part[0] for part in parts), sum(part[1] for part in parts)
        if self.clustered or not bad or playing < 2:
            return
        costs: dict[float, list[float]] = {}
        for group, (many, failed) in enumerate(parts[:playing]):
            share = many / requests
            if share not in costs:
                costs[share] = [bad * math.log1p(share * (ratio - 1.0)) for ratio in RATIOS]
            row = self._x[group]
            for k, ratio in enumerate(RATIOS):
                row[k] += failed * math.log(ratio) - costs[share][k]
            self._bad[group] += failed
            if self._bad[group] >= FEWEST and max(row) >= math.log(len(RATIOS) * playing / self._alpha):
                self.clustered = True

    def state(self) -> list[Any]:
        """Return all that the future depends on."""
        return [self._x, self._bad, self.clustered]

    def restore(self, state: list[Any]) -> None:
        """Take up a state again."""
        self._x, self._bad, self.clustered = state
