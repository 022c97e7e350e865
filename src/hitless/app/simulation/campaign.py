"""Many seeds, on all processors, and what came of them in numbers."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any

from hitless.app.simulation.chance import Case, run_case
from hitless.engine.journal import Ended, Fact

AT_ONCE = 50  # seeds that one process is given
SHOWN = 20  # broken seeds that are kept

Cases = Callable[[int], Case]  # the case of a seed; a plain function, or a method of something that can be pickled


@dataclass(slots=True, kw_only=True)
class Tally:
    """What came of some seeds."""

    runs: int = 0
    ended: Counter[str] = field(default_factory=Counter)  # state -> runs
    faults: Counter[str] = field(default_factory=Counter)  # what went wrong for controllers, and how often
    incomplete: int = 0  # times that a way back did not come to its end before it was told to try again
    lives: int = 0  # of controllers
    requests: int = 0
    broken: list[dict[str, Any]] = field(default_factory=list)  # seed, case, what was broken

    def add(self, other: "Tally") -> None:
        """Add the numbers of others to these."""
        self.runs += other.runs
        self.ended += other.ended
        self.faults += other.faults
        self.incomplete += other.incomplete
        self.lives += other.lives
        self.requests += other.requests
        self.broken = (self.broken + other.broken)[:SHOWN]

    def to_data(self) -> dict[str, Any]:
        """Write it as plain data."""
        return {
            "runs": self.runs,
            "ended": dict(sorted(self.ended.items())),
            "incomplete": self.incomplete,
            "controllers": self.lives,
            "faults": dict(sorted(self.faults.items())),
            "requests": self.requests,
            "broken": self.broken,
        }


def tally(cases: Cases, seeds: Iterable[int]) -> Tally:
    """Run seeds one after the other."""
    found = Tally()
    for seed in seeds:
        case = cases(seed)
        outcome = run_case(case, seed)
        found.runs += 1
        found.ended.update(outcome.states)
        found.incomplete += sum(_is_incomplete(entry.fact) for entry in outcome.facts)
        found.faults.update(case.faults.happened)
        found.lives += outcome.lives
        found.requests += outcome.requests
        if outcome.broken and len(found.broken) < SHOWN:
            found.broken.append({"seed": seed, "case": case.describe(), "broken": outcome.broken[0]})
    return found


def campaign(cases: Cases, first: int, count: int, *, processes: int | None = None) -> Tally:
    """Run `count` seeds from `first` on, on all processors."""
    total = Tally()
    workers = min(processes or os.cpu_count() or 1, -(-count // AT_ONCE))
    if workers <= 1:
        return tally(cases, range(first, first + count))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for found in pool.map(_part, _parts(cases, first, count)):
            total.add(found)
    return total


def _parts(cases: Cases, first: int, count: int) -> Iterator[tuple[Cases, range]]:
    for begin in range(first, first + count, AT_ONCE):
        yield cases, range(begin, min(begin + AT_ONCE, first + count))


def _part(work: tuple[Cases, range]) -> Tally:
    return tally(*work)


def _is_incomplete(fact: Fact) -> bool:
    return isinstance(fact, Ended) and fact.state == "rollback-incomplete"
