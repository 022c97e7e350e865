"""Who failed, and when a failure of the same user is evidence again. Pure.

A user's first failure counts. As long as the user stays bad, a failure counts again only after a pause that doubles,
and only when others have failed in the same arm meanwhile: more of them each time, and eight times as many for a user
who was never well in between. So one user who always fails proves nothing, and an error that everybody meets is not
forgotten over a long step. Where nobody else fails, the pause is hours: an arm of three users must not fall silent for
ever.

A test begins with everybody new, but for those who failed on the old version and were not well since, where the bad
are few (before.py): they begin a pause. Is that fair to both arms? Whoever is left out failed on the old version,
which everybody met before the test, whatever version a hash gives him in it. So as many are left out of either arm as
its share says, and their requests with them. Who failed on the version that is tested, or in an earlier test, is new:
there, the users of one arm met what the others did not, and to leave them out would hide the harm that the new version
does to its own users. The pause begins anew for all of them, so that nobody's is shorter because his arm is the larger
one and failed more before.
"""

from hitless.plan.instances import Slot

LIMIT = 20_000  # users who are remembered; the one who failed longest ago is forgotten first
RECOVERED = 20  # good requests in a row, and a user is trusted a step more
FIRST_PAUSE_MS = 60_000
LONELY_PAUSE_MS = 4 * 3600 * 1000  # after it a failure counts whatever others do; doubles as well
LEVELS = 9  # how often the pause doubles at most: 60 s to about 8 h
FIRST_OTHERS = 8  # failures of others in the same arm before the same user counts again; doubles as well
WELL = 5  # good requests in a row, also in a pause: the user does not always fail
NEVER_WELL = 3  # doublings of FIRST_OTHERS for a user who does
FORGET_MS = 24 * 3600 * 1000  # after the last failure that counted


class _BadUser:
    """A user who failed and has not recovered yet."""

    __slots__ = ("again_ms", "alone_ms", "counted", "failed_on", "good", "level", "row", "since_ms", "slot", "well")

    def __init__(self, since_ms: int, slot: Slot, counted: int) -> None:
        self.slot: Slot | None = slot  # None: not met in this test yet
        self.failed_on = {slot}
        self.good = 0  # good requests that count since the last bad one
        self.row = 0  # good requests since the last bad one
        self.begin(since_ms, counted, level=0)

    def begin(self, since_ms: int, counted: int, *, level: int) -> None:
        """Begin a pause: a failure counted now."""
        self.level = level
        self.well = False  # met WELL good requests in a row in this pause
        self.since_ms = since_ms
        self.again_ms = since_ms + (FIRST_PAUSE_MS << level)
        self.alone_ms = since_ms + (LONELY_PAUSE_MS << level)
        self.counted = counted  # failures that the arm had seen by then

    def waits(self, at_ms: int, counted: int) -> bool:
        """Tell whether the pause goes on, where the arm has seen so many failures."""
        others = FIRST_OTHERS << (self.level + (0 if self.well else NEVER_WELL))
        return at_ms < self.again_ms or (at_ms < self.alone_ms and counted - self.counted < others)


class BadUsers:
    """The users of one service who are bad. Bounded."""

    def __init__(self) -> None:
        self.known: dict[str, _BadUser] = {}
        self._counted: dict[Slot, int] = {"a": 0, "b": 0}  # failures that counted, by arm

    def counts(self, user: str, slot: Slot, at_ms: int, *, failed: bool) -> bool:
        """Remember what a user met who is bad or becomes it now; tell whether the request counts."""
        bad = self.known.get(user)
        if bad is None or at_ms - bad.since_ms > FORGET_MS:
            self.known.pop(user, None)
            return not failed or self._begin(user, slot, at_ms)
        if bad.slot != slot:
            if bad.slot is not None:  # another version: what others met there is new to this user too
                bad.counted = self._counted[slot]
            bad.slot = slot
        if not failed:
            return self._good(user, bad, at_ms)
        bad.good = bad.row = 0
        bad.failed_on.add(slot)
        if bad.waits(at_ms, self._counted[slot]):
            return False
        self._counted[slot] += 1
        bad.begin(at_ms, self._counted[slot], level=min(bad.level + 1, LEVELS))
        self.known[user] = self.known.pop(user)  # last in line to be forgotten
        return True

    def left_out(self, old: Slot, at_ms: int) -> "BadUsers":
        """Return the users who are bad on the old version, all at the begin of a pause, for a test that begins now."""
        test = BadUsers()
        for user, bad in self.known.items():
            if old in bad.failed_on and bad.row < WELL and at_ms - bad.since_ms <= FORGET_MS:
                bad.slot, bad.failed_on = None, {old}
                bad.begin(at_ms, 0, level=bad.level)
                test.known[user] = bad
        return test

    def _begin(self, user: str, slot: Slot, at_ms: int) -> bool:
        if len(self.known) >= LIMIT:
            del self.known[next(iter(self.known))]
        self._counted[slot] += 1
        self.known[user] = _BadUser(at_ms, slot, self._counted[slot])
        return True

    def _good(self, user: str, bad: _BadUser, at_ms: int) -> bool:
        bad.row += 1
        bad.well = bad.well or bad.row >= WELL
        if bad.slot is None or bad.waits(at_ms, self._counted[bad.slot]):
            return False
        bad.good += 1
        if bad.good >= RECOVERED:
            bad.good = 0
            bad.level -= 1
            if bad.level < 0:
                del self.known[user]
        return True
