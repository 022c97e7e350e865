"""Which users met which version of a service that has two at the moment. Pure.

Only the gateway's own log tells who is exposed to a change: whoever was seen in the canary's slot is, and whoever was
seen in the baseline's slot is not. Both are users of the changed service, chosen by a hash; so on every other service
that they touch they fare alike, unless the change itself does harm there. Who was seen in neither is in neither arm.

Of a service that is tested, users are learnt from the begin of the test until its end, however rarely the new version
is met. When they are learnt must not depend on which version they meet: books that begin with a user of the new one
hold one of them too many.
"""

from collections.abc import Iterator

from hitless.plan.instances import SLOTS, Slot, other
from hitless.signals.sample import Sample

MEMBERS_LIMIT = 100_000  # users of one service; beyond it every second one is forgotten, in both arms alike
SERVICES_LIMIT = 16  # with two versions at once; of further ones nothing is told elsewhere
APART_S = 60  # without a test, a service has two versions as long as both slots were seen within this time


class Members:
    """Users by service and slot, of services with two versions. Bounded."""

    def __init__(self) -> None:
        self.split: dict[str, dict[str, Slot]] = {}  # service -> user -> the slot where the user was last seen
        self.tested: set[str] = set()
        self.samples: dict[str, Sample] = {}  # of each service in `split`
        self._seen_at: dict[tuple[str, Slot], int] = {}

    def begin(self, service: str) -> None:
        """A test begins: everybody is new. Of a test beyond the bound nobody is learnt."""
        self.end(service)
        if len(self.split) >= SERVICES_LIMIT:
            for untested in [each for each in self.split if each not in self.tested][:1]:
                self._drop(untested)
        if len(self.split) < SERVICES_LIMIT:
            self.tested.add(service)
            self._open(service)

    def end(self, service: str) -> None:
        """A test is over: its users are forgotten."""
        self.tested.discard(service)
        self._drop(service)

    def see(self, service: str, slot: Slot, at: int) -> None:
        """Take that a slot was used in a second; without a test, users are learnt from a second version on."""
        self._seen_at[service, slot] = max(at, self._seen_at.get((service, slot), at))
        if service in self.split or len(self.split) >= SERVICES_LIMIT:
            return
        if at - self._seen_at.get((service, other(slot)), at - APART_S) < APART_S:
            self._open(service)

    def learn(self, service: str, user: str, slot: Slot) -> bool:
        """Remember where a user was seen; tell whether it was for the first time in a test."""
        members = self.split[service]
        if user not in members:
            sample = self.samples[service]
            if user not in sample:
                return False
            sample.make_room(members, MEMBERS_LIMIT)
            if user not in sample:
                return False
            members[user] = slot
            return service in self.tested
        members[user] = slot
        return False

    def forget(self, now: int) -> list[str]:
        """Let go of what is not used any more; returns the services that have one version again."""
        for arm in [arm for arm, at in self._seen_at.items() if now - at >= APART_S]:
            del self._seen_at[arm]
        gone = [service for service in self.split if service not in self.tested and not self._both(service)]
        for service in gone:
            self._drop(service)
        return gone

    def _open(self, service: str) -> None:
        self.split[service], self.samples[service] = {}, Sample()

    def _drop(self, service: str) -> None:
        self.split.pop(service, None)
        self.samples.pop(service, None)

    def _both(self, service: str) -> bool:
        return all((service, slot) in self._seen_at for slot in SLOTS)


def elsewhere(split: dict[str, dict[str, Slot]], service: str, user: str) -> Iterator[tuple[str, Slot | None]]:
    """Yield the other changed services, with the slot in which this user was met there; None: not met yet."""
    for changed, members in split.items():
        if changed != service:
            yield changed, members.get(user)
