"""How often instances of a version ended without being asked to. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hitless.plan.instances import InstanceId, Slot


@dataclass(slots=True, kw_only=True)
class Ends:
    """Of the instances in one slot of one service, since the first look."""

    service: str
    slot: Slot
    known: bool = True  # False: nobody can say at present
    by: dict[InstanceId, int] = field(default_factory=dict)
    _last: dict[InstanceId, int] | None = None  # what the last look showed
    _taken: int = 0

    @property
    def total(self) -> int:
        """How often they ended by themselves."""
        return sum(self.by.values())

    @property
    def instances(self) -> int:
        """How many of them there are."""
        return len(self._last or ())

    def look(self, restarts: Mapping[InstanceId, int] | None) -> None:
        """Look at the restarts so far of the instances that run; the first look sets the zero. None: not known."""
        self.known = restarts is not None
        if restarts is None:
            return
        ours = {
            each: count for each, count in restarts.items() if (each.service, each.slot) == (self.service, self.slot)
        }
        before = ours if self._last is None else self._last
        for each, count in ours.items():
            was = before.get(each, 0)
            more = count - was if count >= was else count  # fewer: it was stopped and started anew
            self.by[each] = self.by.get(each, 0) + more
        self._last = ours

    def take(self) -> int:
        """Return how many there were since the last call."""
        more, self._taken = self.total - self._taken, self.total
        return more

    def dump(self) -> dict[str, Any]:
        """Return what a new controller needs: it counts on from what was seen last, also what it did not see."""
        last = None if self._last is None else _plain(self._last)
        return {"by": _plain(self.by), "last": last, "taken": self._taken}

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Go on from what was kept. Raises KeyError, TypeError or ValueError for anything else."""
        self.by = _read(kept["by"])
        self._last = None if kept["last"] is None else _read(kept["last"])
        self._taken = kept["taken"]


def _plain(counts: Mapping[InstanceId, int]) -> dict[str, int]:
    return {str(each): count for each, count in counts.items()}


def _read(plain: Mapping[str, int]) -> dict[InstanceId, int]:
    return {InstanceId.parse(each): count for each, count in plain.items()}
