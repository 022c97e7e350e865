"""What others have measured since a step began: a guard that never had a window that counted knows nothing. Pure."""

from collections.abc import Iterable, Mapping

from hitless.signals.metrics import Full, Measured, Window


class Looks:
    """By guard, what was seen of each version: requests, or looks at how full it is."""

    def __init__(self, measured: Iterable[Measured]) -> None:
        self._first_s = {
            each.name: each.lag_s + 2 * each.every_s for each in measured
        }  # a window that lies in the step
        self._seen = dict.fromkeys(self._first_s, (0, 0))

    def count(self, windows: Iterable[Window | Full]) -> None:
        """Take what was measured meanwhile; one that is not known counts for nothing."""
        for each in windows:
            canary, baseline = self._seen.get(each.metric, (0, 0))
            new, old = _seen(each)
            self._seen[each.metric] = canary + new, baseline + old

    @property
    def missing(self) -> tuple[str, ...]:
        """The guards that have seen nothing of one of the versions, in the order of the step."""
        return tuple(name for name, seen in self._seen.items() if not all(seen))

    @property
    def due_s(self) -> float:
        """So long after the step began the first windows of those that are missing are known at the latest."""
        return max((self._first_s[name] for name in self.missing), default=0.0)

    def dump(self) -> dict[str, list[int]]:
        """Return what a new controller needs."""
        return {name: list(seen) for name, seen in self._seen.items()}

    def restore(self, kept: Mapping[str, list[int]]) -> None:
        """Go on from what was kept. Raises ValueError."""
        for name in self._seen.keys() & kept.keys():
            canary, baseline = kept[name]
            self._seen[name] = canary, baseline


def _seen(each: Window | Full) -> tuple[int, int]:
    """Return how much is known of the canary and of the baseline; whether the old one is full need not be."""
    if isinstance(each, Full):
        known = int(each.canary is not None)
        return known, known
    if each.canary is None or each.baseline is None:
        return 0, 0
    return each.canary.requests, each.baseline.requests
