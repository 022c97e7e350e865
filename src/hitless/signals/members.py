"""Which users met which version of a service that has two at the moment. Pure.

Only the gateway's own log tells who is exposed to a change: whoever was seen in the canary's slot is, and whoever was
seen in the baseline's slot is not. Both are users of the changed service, chosen by a hash; so on every other service
that they touch they fare alike, unless the change itself does harm there. Who was seen in neither is in neither arm.
"""

from collections.abc import Iterator

from hitless.plan.instances import SLOTS, Slot, other

MEMBERS_LIMIT = 100_000  # users of one service; the first ones seen are forgotten first, in both arms alike
SERVICES_LIMIT = 16  # with two versions at once; of further ones nothing is told elsewhere
APART_S = 60  # a service has two versions as long as both slots were seen within this time


class Members:
    """Users by service and slot, of services with two versions. Bounded."""

    def __init__(self) -> None:
        self.split: dict[str, dict[str, Slot]] = {}  # service -> user -> the slot where the user was last seen
        self._seen_at: dict[tuple[str, Slot], int] = {}

    def see(self, service: str, slot: Slot, at: int) -> None:
        """Take that a slot was used in a second; from the first request of a second version on, users are learnt."""
        self._seen_at[service, slot] = max(at, self._seen_at.get((service, slot), at))
        if service in self.split or len(self.split) >= SERVICES_LIMIT:
            return
        if at - self._seen_at.get((service, other(slot)), at - APART_S) < APART_S:
            self.split[service] = {}

    def forget(self, now: int) -> list[str]:
        """Let go of what is not used any more; returns the services that have one version again."""
        for arm in [arm for arm, at in self._seen_at.items() if now - at >= APART_S]:
            del self._seen_at[arm]
        gone = [service for service in self.split if not self._both(service)]
        for service in gone:
            del self.split[service]
        return gone

    def _both(self, service: str) -> bool:
        return all((service, slot) in self._seen_at for slot in SLOTS)


def learn(members: dict[str, Slot], user: str, slot: Slot) -> bool:
    """Remember where a user was seen; tell whether it was for the first time."""
    new = user not in members
    if new and len(members) >= MEMBERS_LIMIT:
        del members[next(iter(members))]
    members[user] = slot
    return new


def elsewhere(split: dict[str, dict[str, Slot]], service: str, user: str) -> Iterator[tuple[str, Slot]]:
    """Yield the other changed services whose version this user met, with the slot."""
    for changed, members in split.items():
        if changed != service and (slot := members.get(user)) is not None:
            yield changed, slot
