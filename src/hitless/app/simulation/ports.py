"""The ports of the rooms, on the simulated world, for one controller."""

import asyncio
from collections.abc import Iterable, Mapping

from hitless.app.simulation.effects import (
    Admitted,
    Checking,
    Defined,
    Drained,
    Launched,
    Prepared,
    Removed,
    Retired,
    Routed,
    Stopped,
)
from hitless.app.simulation.hands import Hands
from hitless.app.simulation.world import SimulatedWorld
from hitless.flags.languages import Seen
from hitless.kit.errors import HitlessError
from hitless.plan.instances import InstanceId
from hitless.plan.ports import StepFailed
from hitless.runtime.ports import Checked, ProcessState
from hitless.runtime.steps import Launch
from hitless.traffic.ports import Place
from hitless.traffic.steps import Routing

STOPPING_S = 0.05  # from TERM to the end
CHECKING_S = 0.3


class SimulatedProcesses:
    """Implements `hitless.runtime.ports.Processes`, and the restarts and ports that other rooms ask for."""

    def __init__(self, world: SimulatedWorld, hands: Hands) -> None:
        self._world, self._hands = world, hands

    async def start(self, instance: InstanceId, launch: Launch) -> None:
        """Start an instance; what runs with the same launch stays."""
        await self._hands.look()
        there = self._world.machine.lives.get(instance)
        if there is not None and not there.wanted:
            await self.stop(instance, there.launch.grace_s)
        if await self._hands.touch("start", lambda: self._prepare(instance, launch), fenced=True):
            await self._hands.touch("launch", lambda: self._launch(instance))

    async def state(self, instance: InstanceId) -> ProcessState | None:
        """Return what is there."""
        await self._hands.look()
        life = self._world.machine.lives.get(instance)
        return None if life is None else self._world.machine.state(life)

    async def ready(self, instance: InstanceId) -> bool:
        """Tell whether it answers."""
        await self._hands.look()
        life = self._world.machine.lives.get(instance)
        return life is not None and life.serves(self._world.clock.now())

    async def stop(self, instance: InstanceId, grace_s: float) -> None:
        """Return when the instance is dead and forgotten."""
        if await self._hands.touch("stop", lambda: self._ask_to_stop(instance), fenced=True):
            await self._gone(instance)

    async def retire(self, instance: InstanceId, at: float) -> None:
        """Note that the instance may be stopped at that time."""
        await self._hands.touch("retire", lambda: self._retire(instance, at), fenced=True)

    async def check(self, instance: InstanceId, command: tuple[str, ...], cwd: str, timeout_s: float) -> Checked:
        """Run a check against the instance."""
        await self._hands.touch("check", lambda: self._world.effect(Checking(instance)), fenced=True)
        await asyncio.sleep(CHECKING_S)
        await self._hands.look()
        life = self._world.machine.lives.get(instance)
        if life is None:
            raise HitlessError("no-instance", f"{instance} does not run, so nothing can be checked")
        return Checked(code=life.character.check_code, output="")

    async def instances(self) -> list[InstanceId]:
        """Return the instances that are there."""
        await self._hands.look()
        return sorted(self._world.machine.lives)

    async def log_tail(self, instance: InstanceId, lines: int = 20) -> str:
        """Nobody writes logs here."""
        return ""

    async def port(self, instance: InstanceId) -> int:
        """Return the port of a running instance. Raises StepFailed if it does not run."""
        await self._hands.look()
        life = self._world.machine.lives.get(instance)
        if life is None:
            raise StepFailed("no-instance", f"{instance} does not run")
        return life.port

    async def restarts(self) -> Mapping[InstanceId, int]:
        """Return how often each instance ended by itself."""
        await self._hands.look()
        return {instance: life.restarts for instance, life in self._world.machine.lives.items()}

    async def mend(self) -> None:
        """Give a shim to every instance that lost it, as the controller does all the time."""
        await self._hands.look()
        for instance, life in sorted(self._world.machine.lives.items()):
            if life.wanted and not life.shimmed:
                await self._hands.touch("launch", lambda each=instance: self._launch(each))  # type: ignore[misc]

    def _prepare(self, instance: InstanceId, launch: Launch) -> bool:
        machine = self._world.machine
        there = machine.lives.get(instance)
        self._world.effect(Prepared(instance, launch))
        if there is None or not (there.shimmed or there.pid):
            machine.record(instance, launch)
            return True
        if there.launch == launch and there.wanted:
            there.retire_at = None
            return False
        raise HitlessError("already-runs", f"{instance} runs another version", f"stop {instance} first")

    def _launch(self, instance: InstanceId) -> None:
        life = self._world.machine.lives.get(instance)
        if life is not None and life.wanted:
            self._world.effect(Launched(instance))
            self._world.machine.give_shim(life, self._world.clock.now())

    def _ask_to_stop(self, instance: InstanceId) -> bool:
        life = self._world.machine.lives.get(instance)
        if life is None:
            return False
        now = self._world.clock.now()
        self._world.effect(Stopped(instance))
        self._world.front.counts.closed += self._world.front.cut(instance, now)
        self._world.machine.ask_to_stop(life, now + STOPPING_S)
        return True

    def _retire(self, instance: InstanceId, at: float) -> None:
        life = self._world.machine.lives.get(instance)
        if life is not None:
            self._world.effect(Retired(instance))
            life.retire_at = at

    async def _gone(self, instance: InstanceId) -> None:
        while True:
            await self._hands.look()
            life = self._world.machine.lives.get(instance)
            if life is None or life.wanted:
                return
            if life.pid is None:
                self._world.machine.forget(instance)
                return
            await asyncio.sleep(STOPPING_S)


class SimulatedGateway:
    """Implements `hitless.traffic.ports.Gateway`."""

    def __init__(self, world: SimulatedWorld, hands: Hands) -> None:
        self._world, self._hands = world, hands

    async def routings(self) -> Mapping[str, Routing]:
        """Return who meets which version."""
        await self._hands.look()
        return dict(self._world.front.routings)

    async def places(self) -> Mapping[InstanceId, Place]:
        """Return the instances that are known."""
        await self._hands.look()
        return dict(self._world.front.places)

    async def route(self, routing: Routing) -> None:
        """Put a routing in force."""
        await self._hands.touch("route", lambda: self._route(routing), fenced=True)

    async def admit(self, instance: InstanceId, port: int) -> None:
        """Send requests to an instance."""
        place = Place(port=port, state="ready")
        await self._hands.touch("admit", lambda: self._put(instance, place), fenced=True)

    async def drain(self, instance: InstanceId) -> None:
        """Send an instance nothing new."""
        await self._hands.touch("drain", lambda: self._drain(instance), fenced=True)

    async def remove(self, instance: InstanceId) -> None:
        """Forget an instance."""
        await self._hands.touch("remove", lambda: self._put(instance, None), fenced=True)

    async def in_flight(self, instance: InstanceId) -> int:
        """Count what it has in flight."""
        await self._hands.look()
        return self._world.front.in_flight(instance, self._world.clock.now())

    def _route(self, routing: Routing) -> None:
        self._world.effect(Routed(routing))
        self._world.front.routings[routing.service] = routing

    def _drain(self, instance: InstanceId) -> None:
        place = self._world.front.places.get(instance)
        if place is not None:
            self._put(instance, Place(port=place.port, state="drain"))

    def _put(self, instance: InstanceId, place: Place | None) -> None:
        if place is None:
            self._world.effect(Removed(instance))
        else:
            self._world.effect(Admitted(instance) if place.state == "ready" else Drained(instance))
        self._world.front.put(instance, place, self._world.clock.now())


class SimulatedFlags:
    """Implements `hitless.flags.ports.Flags`."""

    def __init__(self, world: SimulatedWorld, hands: Hands) -> None:
        self._world, self._hands = world, hands

    async def definition(self, flag: str) -> str:
        """Return a flag's definition."""
        await self._hands.look()
        return self._world.flags.definitions.get(flag, "")

    async def served(self) -> bool:
        """Tell whether what is defined is what is served: not so after a kill between the two."""
        await self._hands.look()
        return self._world.flags.served == self._world.flags.definitions

    async def put(self, flag: str, definition: str, why: str) -> str:
        """Define a flag, then serve the set; returns its version."""
        await self._hands.touch("define", lambda: self._define(flag, definition), fenced=True)
        return await self._hands.touch("serve", self._serve, fenced=True)

    async def version(self) -> str:
        """Return the version of the set that is served."""
        await self._hands.look()
        return str(self._world.flags.version)

    async def clients(self) -> Iterable[Seen]:
        """Return the connected clients, each with the version it has."""
        await self._hands.look()
        return self._world.flags.seen(self._world.clock.now())

    async def refuse_other_languages(self, flag: str) -> None:
        """All clients split users alike here."""
        await self._hands.look()

    def _define(self, flag: str, definition: str) -> None:
        self._world.effect(Defined(flag, definition))
        self._world.flags.define(flag, definition)

    def _serve(self) -> str:
        return str(self._world.flags.serve(self._world.clock.now()))
