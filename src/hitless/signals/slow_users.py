"""Who is always slow, and when a slow request of the same user is evidence again. Pure.

Latency counts requests, and one user with a slow account makes many of them: those of one in fifty, ten times as slow,
made a healthy version look slow within two minutes. So a user's slow request counts, and then none of this user's, be
it slow or fast, until WELL in a row were fast, or a pause is over that doubles, or while a third of what the others
meet in the same arm is slow: then it is not this user. Who is slow only now and then loses a few requests, and who is
slow always counts once in a while.

Is that fair? Slow is what lies beyond a quantile of the service's own past, for both arms alike, and whether a request
counts is decided by what came before it. So of users who are alike in both arms, alike requests count.
"""

from hitless.plan.instances import Slot
from hitless.signals.tally import Tally
from hitless.verdict.histogram import BUCKETS, quantile_bucket

QUANTILE = 0.95  # of the past of the service, beyond which a request is slow
LEARN = 500  # requests before that is believed
KEEP = 0.98  # of the past, at each look at it
LOOK_S = 60  # from one to the next, or sooner:
GROWN = 1.5  # when so many times as many requests are known
LIMIT = 20_000  # users who are remembered; the one who was slow longest ago is forgotten first
WELL = 5  # fast requests in a row
PAUSE_MS = 60_000  # the first one
LEVELS = 9  # how often it doubles at most: 60 s to about 8 h
FEWEST = 20  # requests of others, before they can tell that it is not this user,
PART = 3  # where one in so many of them is slow


class _Met:
    """Requests of an arm, and those of them that were slow."""

    __slots__ = ("requests", "slow")

    def __init__(self) -> None:
        self.requests = self.slow = 0


class _SlowUser:
    """A user whose last requests were not all fast."""

    __slots__ = ("again_ms", "level", "own", "requests", "row", "slot", "slow")

    def __init__(self, slot: Slot) -> None:
        self.slot = slot
        self.row = 0  # fast requests since the last slow one
        self.level = -1

    def begin(self, at_ms: int, arm: _Met) -> None:
        """Begin a pause: a slow request counted now."""
        self.level = min(self.level + 1, LEVELS)
        self.again_ms = at_ms + (PAUSE_MS << self.level)
        self.look_at(arm)

    def look_at(self, arm: _Met) -> None:
        """Compare with what the others of this arm meet from now on."""
        self.requests, self.slow, self.own = arm.requests, arm.slow, 0

    def is_not_alone(self, arm: _Met) -> bool:
        """Tell whether many requests of the others were slow too since the pause began."""
        others = arm.requests - self.requests - self.own
        return others >= FEWEST and (arm.slow - self.slow - self.own) * PART > others


class SlowUsers:
    """The users of one service who are slow, and what is slow there. Bounded."""

    def __init__(self) -> None:
        self.known: dict[str, _SlowUser] = {}
        self.beyond = BUCKETS  # the bucket from which on a request is slow; at first none is
        self._arms: dict[Slot, _Met] = {"a": _Met(), "b": _Met()}
        self._past = [0.0] * BUCKETS
        self._looked_at, self._looked_with = -float(LOOK_S), 0.0

    def learn(self, slot: Slot, tally: Tally, at: int) -> None:
        """Take what an arm met in a second."""
        arm = self._arms[slot]
        for bucket, many in tally.latency.items():
            self._past[bucket] += many
            arm.requests += many
            arm.slow += many if bucket >= self.beyond else 0
        arm.requests += tally.held
        arm.slow += tally.held_slow
        known = sum(self._past)
        if known >= LEARN and (at - self._looked_at >= LOOK_S or known >= GROWN * self._looked_with):
            self.beyond = quantile_bucket(self._past, QUANTILE) + 1
            self._past = [many * KEEP for many in self._past]
            self._looked_at, self._looked_with = at, known

    def forget(self) -> None:
        """Remember no user any more."""
        self.known.clear()

    def takes(self, tally: Tally, user: str, slot: Slot, at_ms: int, bucket: int) -> bool:
        """Tell whether a latency counts for its arm, and note there if it does not."""
        slow = bucket >= self.beyond
        if not (slow or user in self.known) or self.counts(user, slot, at_ms, slow=slow):
            return True
        tally.held += 1
        tally.held_slow += slow
        return False

    def counts(self, user: str, slot: Slot, at_ms: int, *, slow: bool) -> bool:
        """Remember what a user met who is slow or becomes it now; tell whether the request counts."""
        each, arm = self.known.get(user), self._arms[slot]
        if each is None:
            if slow:
                self._begin(user, slot, at_ms)
            return True
        if each.slot != slot:  # another version: what others met there is new to this user too
            each.slot = slot
            each.look_at(arm)
        alone, waits = not each.is_not_alone(arm), at_ms < each.again_ms
        each.own += 1
        if not slow:
            each.row += 1
            if each.row >= WELL:
                del self.known[user]
            return not (waits and alone)
        each.row = 0
        if waits:
            return not alone
        each.begin(at_ms, arm)
        return True

    def _begin(self, user: str, slot: Slot, at_ms: int) -> None:
        if len(self.known) >= LIMIT:
            del self.known[next(iter(self.known))]
        each = self.known[user] = _SlowUser(slot)
        each.begin(at_ms, self._arms[slot])
