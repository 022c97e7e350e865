"""What every score of VERDICT-1 is made of: runs with a seed of their own, on all cores, and a line of the table."""

import math
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any

import incumbents
import numpy as np

CELLS = [(p, rps, split) for p in (0.001, 0.01) for rps in (100, 5000) for split in (0.01, 0.05, 0.5)]


@dataclass(frozen=True)
class Score:
    """One line of the table."""

    what: str
    ours: str
    must: str = ""
    moonshot: str = ""
    beside: str = ""
    fell_short: bool = False


class Bench:
    """Holds the seed, the number of runs and the processes that they are spread over."""

    def __init__(self, seed: int, scale: float, pool: Executor, cores: int) -> None:
        self._seed, self._scale, self._pool, self._cores = seed, scale, pool, cores

    def rng(self, *key: int) -> np.random.Generator:
        """Return numbers that depend on the seed and the key alone."""
        return np.random.default_rng([self._seed, *key])

    def runs(self, many: int, least: int = 2) -> int:
        """Return how many runs `many` are at this scale."""
        return max(least, round(many * self._scale))

    def each(self, one: Callable[..., Any], key: tuple[int, ...], many: int, *arguments: Any) -> list[Any]:
        """Return what `one(rng, *arguments)` gives in `many` runs; the same key draws the same streams."""
        work = partial(_one, one, (self._seed, *key), arguments)
        return list(self._pool.map(work, range(many), chunksize=max(1, many // (8 * self._cores))))


def _one(one: Callable[..., Any], key: tuple[int, ...], arguments: tuple[Any, ...], number: int) -> Any:
    return one(np.random.default_rng([*key, number]), *arguments)


def too_many(count: int, total: int, allowed: float) -> bool:
    """Tell whether so many are more than chance explains (three standard deviations)."""
    return count / total > allowed + 3 * math.sqrt(allowed * (1 - allowed) / total)


def share_of(count: int, total: int) -> str:
    """Write a part of all runs."""
    return f"{count}/{total} = {count / total:.2%}"


def rules(p: float) -> dict[str, incumbents.Rule]:
    """Return the rules in use today, by name."""
    return {
        "argo < 99 %": incumbents.argo(0.99),
        "argo < 95 %": incumbents.argo(0.95),
        "flagger": incumbents.flagger(),
        "kayenta": incumbents.kayenta(),
        "z each minute": incumbents.z_each_minute(),
        "Lindon-Malek": incumbents.lindon_malek(),
        "known rate": incumbents.known_rate(2.0, p),
    }
