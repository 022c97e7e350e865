"""The simulated world: everything that outlives a controller, in memory and in virtual time."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hitless.app.simulation.backing import Flags, Schema
from hitless.app.simulation.character import Characters
from hitless.app.simulation.checker import Checker
from hitless.app.simulation.clock import VirtualClock
from hitless.app.simulation.effects import Effect
from hitless.app.simulation.front import Crowd, Front
from hitless.app.simulation.machine import Machine
from hitless.app.simulation.stand import Stand
from hitless.app.simulation.store import Store
from hitless.app.simulation.telemetry import Telemetry
from hitless.traffic.ports import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is there before anything happens."""

    stand: Stand
    crowd: Crowd
    characters: Characters = field(default_factory=Characters)
    drains: Mapping[str, float] = field(default_factory=dict)  # service -> seconds
    clients: Mapping[str, float] = field(default_factory=dict)  # of flags: name -> how late each takes a change


class SimulatedWorld:
    """Processes, gateway, users, recorder, databases, flags, and the journal's store."""

    def __init__(self, setting: Setting, rng: random.Random) -> None:
        self.clock = VirtualClock()
        self.setting = setting
        self.drains = setting.drains
        self.fence = 0
        self.machine = Machine(setting.characters)
        self.telemetry = Telemetry(self.clock, self.clock.now())
        self.checker = Checker(self)
        self.front = Front(self.machine, self.telemetry, setting.crowd, rng, self.checker.blame)
        self.front.flipped = self.checker.flipped
        self.store = Store(self.clock)
        self.store.began, self.store.written = self.checker.began, self.checker.fact
        self.schemas = {name: Schema(list(versions)) for name, versions in setting.stand.schemas.items()}
        self.flags = Flags(dict(setting.clients), dict(setting.stand.flags), dict(setting.stand.flags))
        self.doubted: Callable[[int], None] = lambda _: None
        self._begin(setting.stand)

    def advance(self) -> None:
        """Let everything happen that happens by itself until now."""
        self.front.advance(self.clock.now())

    def effect(self, effect: Effect) -> None:
        """Hold an effect against the promises, a moment before it is in force."""
        self.checker.effect(effect)

    def lose_store(self, away_s: float) -> None:
        """Restart the journal's database."""
        self.store.restart(away_s)

    def doubt(self, epoch: int) -> None:
        """Take a controller that says nothing for dead: its connection to the database is cut."""
        if self.store.holder == epoch:
            self.store.sessions += 1
            self.store.holder = 0
        self.doubted(epoch)

    def stand(self) -> Stand:
        """Return how the world stands now."""
        lives = self.machine.lives
        return Stand(
            routings=dict(self.front.routings),
            running={each: life.launch for each, life in lives.items() if life.wanted or life.pid is not None},
            ready=frozenset(each for each, place in self.front.places.items() if place.state == "ready"),
            schemas={name: tuple(schema.versions) for name, schema in self.schemas.items()},
            flags=dict(self.flags.served),
        )

    def _begin(self, stand: Stand) -> None:
        now = self.clock.now()
        for instance, launch in sorted(stand.running.items()):
            life = self.machine.record(instance, launch)
            self.machine.give_shim(life, now - 3600)
            if instance in stand.kept:
                life.retire_at = now + 3600
        self.machine.advance(now)
        for instance in sorted(stand.ready):
            self.front.put(instance, Place(port=self.machine.lives[instance].port, state="ready"), now)
        self.front.routings = dict(stand.routings)
