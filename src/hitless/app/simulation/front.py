"""The gateway of the simulated world, and the users who send requests through it all the time.

Requests are computed when somebody looks or touches: between two touches nothing changes, so that each of them meets
exactly the world that stood at its moment.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hitless.app.simulation.machine import Machine
from hitless.app.simulation.telemetry import Telemetry
from hitless.plan.instances import InstanceId, Slot, other
from hitless.traffic.cohort import bucket
from hitless.traffic.ports import Place
from hitless.traffic.steps import Routing

LENGTHS = 512  # lengths of requests that are drawn beforehand


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """Who sends requests, and how many."""

    users: tuple[str, ...]
    path: tuple[str, ...]  # the services that each request goes through, the first one from outside
    groups: Mapping[str, frozenset[str]] = field(default_factory=dict)
    per_user_s: float = 1.0  # each user sends one request in this time
    anonymous: int = 11  # every n-th request is of nobody that is known
    long: float = 0.01  # of the requests: streams and downloads
    longest_s: float = 8.0


@dataclass(slots=True)
class Counts:
    """What users got."""

    total: int = 0
    failed: int = 0  # by a version that fails, or a process that was killed under them
    closed: int = 0  # after the whole drain time


class Front:
    """Routes every request as the real gateway does, and tells at once when one cannot be routed."""

    def __init__(
        self, machine: Machine, telemetry: Telemetry, crowd: Crowd, rng: random.Random, blame: Callable[[str], None]
    ) -> None:
        self._machine, self._telemetry, self._crowd, self._rng, self._blame = machine, telemetry, crowd, rng, blame
        self.routings: dict[str, Routing] = {}
        self.places: dict[InstanceId, Place] = {}
        self.drained_at: dict[InstanceId, float] = {}
        self.counts = Counts()
        self.met: dict[tuple[str, int], Slot] = {}  # service and user -> the slot met last
        self.flipped: Callable[[str, str, Slot], None] = lambda *_: None
        self._flying: dict[InstanceId, list[float]] = {}
        self._ready: dict[tuple[str, Slot], list[InstanceId]] = {}
        self._buckets: dict[str, list[int]] = {}
        self._pause_s = crowd.per_user_s / len(crowd.users)
        self._lengths = [self._length() for _ in range(LENGTHS)]
        self._sent = 0
        self._begun = telemetry.begun

    def advance(self, now: float) -> None:
        """Let users send what they send until `now`."""
        at = self._begun + self._sent * self._pause_s
        while at < now:
            self._machine.advance(at)
            number = self._sent
            user = number % len(self._crowd.users)
            known = number % self._crowd.anonymous != 0
            for service in self._crowd.path:
                self._send(service, user if known else -1, at)
            self._sent += 1
            at = self._begun + self._sent * self._pause_s
        self._machine.advance(now)

    def put(self, instance: InstanceId, place: Place | None, now: float) -> None:
        """Let an instance stand at a place; None: nowhere."""
        if place is None:
            self.places.pop(instance, None)
        else:
            self.places[instance] = place
            if place.state == "drain":
                self.drained_at.setdefault(instance, now)
            else:
                self.drained_at.pop(instance, None)
        self._ready = {}

    def in_flight(self, instance: InstanceId, now: float) -> int:
        """Count what an instance has in flight; what was killed has nothing."""
        life = self._machine.lives.get(instance)
        if life is None or life.pid is None:
            self._flying.pop(instance, None)
            return 0
        flying = [end for end in self._flying.get(instance, ()) if end > now]
        self._flying[instance] = flying
        return len(flying)

    def cut(self, instance: InstanceId, now: float) -> int:
        """Close what an instance has in flight; returns how many requests that were."""
        count = self.in_flight(instance, now)
        self._flying[instance] = []
        return count

    def slot_of(self, routing: Routing, user: int) -> Slot:
        """Return which version a user meets; -1: nobody who is known."""
        if user < 0:
            return routing.baseline
        chosen = self._buckets_of(routing.salt)[user] < routing.share.buckets or (
            routing.group and self._crowd.users[user] in self._crowd.groups.get(routing.group, ())
        )
        return other(routing.baseline) if chosen else routing.baseline

    def _send(self, service: str, user: int, at: float) -> None:
        routing = self.routings.get(service)
        if routing is None:
            return
        slot = self.slot_of(routing, user)
        self.counts.total += 1
        if user >= 0 and self.met.get((service, user)) != slot:
            if (service, user) in self.met:
                self.flipped(service, self._crowd.users[user], slot)
            self.met[service, user] = slot
        instance = self._choose(service, slot, at)
        failed = instance is None or self._fails(instance)
        self.counts.failed += failed
        self._telemetry.count(at, (service, slot), failed=failed, known=user >= 0)
        if instance is not None:
            self._flying.setdefault(instance, []).append(at + self._lengths[self._sent % LENGTHS])

    def _choose(self, service: str, slot: Slot, at: float) -> InstanceId | None:
        """Return who answers; None if those who should were killed. Blames whoever left users without an instance."""
        ready = self._ready_in(service, slot)
        lives, died = self._machine.lives, False
        for turn in range(len(ready)):
            instance = ready[(self._sent + turn) % len(ready)]
            life = lives.get(instance)
            if life is not None and life.serves(at) and life.port == self.places[instance].port:
                life.died = False
                return instance
            if life is None or not life.died:
                what = "does not run" if life is None or life.pid is None else "is not ready"
                self._blame(f"a request was routed to {instance}, which {what}")
            died = died or (life is not None and life.died)
        if not died:
            self._blame(f"a request of {service} met slot {slot}, where nobody takes requests")
        return None

    def _ready_in(self, service: str, slot: Slot) -> list[InstanceId]:
        if not self._ready:
            for instance in sorted(self.places):
                if self.places[instance].state == "ready":
                    self._ready.setdefault((instance.service, instance.slot), []).append(instance)
        return self._ready.get((service, slot), [])

    def _fails(self, instance: InstanceId) -> bool:
        fails = self._machine.lives[instance].character.fails
        return fails > 0 and self._rng.random() < fails

    def _length(self) -> float:
        if self._rng.random() < self._crowd.long:
            return self._rng.uniform(0.5, self._crowd.longest_s)
        return self._rng.uniform(0.002, 0.08)

    def _buckets_of(self, salt: str) -> list[int]:
        if salt not in self._buckets:
            self._buckets[salt] = [bucket(user, salt) for user in self._crowd.users]
        return self._buckets[salt]
