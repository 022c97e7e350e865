"""What a service was like before a test of it: which version served it, and whether few of its users were bad. Pure."""

from hitless.plan.instances import SLOTS, Slot

LIMIT = 512  # versions that are followed; the one that was met longest ago is forgotten first
KEPT = 0.99  # of what was counted is still counted a second later: about the last minutes
FEW = 0.05  # of the requests of users, that those in a pause may make where they are left out of a test


class Before:
    """Requests of users by service and slot, of late. Bounded."""

    def __init__(self) -> None:
        self._met: dict[tuple[str, Slot], tuple[int, float, float]] = {}  # second, requests that count, that do not

    def add(self, service: str, slot: Slot, at: int, counted: int, waiting: int) -> None:
        """Take the requests of users in a second: those that count, and those of bad users in their pause."""
        last, counts, waits = self._met.pop((service, slot), (at, 0.0, 0.0))
        kept = KEPT ** (at - last)
        if len(self._met) >= LIMIT:
            del self._met[next(iter(self._met))]
        self._met[service, slot] = at, counts * kept + counted, waits * kept + waiting

    def forget(self, service: str) -> None:
        """A test is over: what comes now is the time before the next one."""
        for slot in SLOTS:
            self._met.pop((service, slot), None)

    def old_version(self, service: str, at: int) -> Slot | None:
        """Return the slot that has served the users of late; None: unknown, or too many of its users are bad."""
        best, most = None, 0.0
        for slot in SLOTS:
            last, counts, waits = self._met.get((service, slot), (at, 0.0, 0.0))
            requests = (counts + waits) * KEPT ** (at - last)
            if requests > most:
                best, most = (slot if waits <= FEW * (counts + waits) else None), requests
        return best
