"""Controllers of the simulated world: they are killed, stopped, replaced, and each goes on from the journal."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from hitless.app.flag_users import TickUsers
from hitless.app.simulation.faults import Faults
from hitless.app.simulation.hands import Hands, HandsClock, Killed
from hitless.app.simulation.ports import SimulatedFlags, SimulatedGateway, SimulatedProcesses
from hitless.app.simulation.schemas import SimulatedDatabases
from hitless.app.simulation.store import SimulatedJournal
from hitless.app.simulation.world import SimulatedWorld
from hitless.app.world import KINDS
from hitless.engine.engine import Engine
from hitless.engine.ports import Phase
from hitless.flags.driver import FlagsDriver
from hitless.kit.errors import HitlessError
from hitless.runtime.driver import RuntimeDriver
from hitless.signals.driver import SignalsDriver
from hitless.traffic.driver import TrafficDriver

TENDING_S = 0.5
RESTART_S = (0.1, 1.5)  # how long a shim takes to start a new controller
LEASE_S = 0.25  # between two tries to get the lease
TOLD_S = 2.0  # how long who tells a run something waits for the answer


class SimulatedController:
    """One life of a controller: the real engine and the real drivers, on simulated ports."""

    def __init__(self, world: SimulatedWorld, faults: Faults, ended: Callable[[], None]) -> None:
        self._world, self._faults, self._ended = world, faults, ended
        self.epoch = world.store.take_over()
        self.hands = Hands(world, self.epoch, faults, ended)
        world.fence = max(world.fence, self.epoch)
        clock = HandsClock(world.clock, self.hands)
        self.processes = SimulatedProcesses(world, self.hands)
        self.journal = SimulatedJournal(world.store, self.hands)
        self.runtime = RuntimeDriver(self.processes, clock)
        signals = SignalsDriver(world.telemetry, self.processes, clock, self.journal)
        self.engine = Engine(
            journal=self.journal,
            drivers={
                "runtime": self.runtime,
                "traffic": TrafficDriver(SimulatedGateway(world, self.hands), self.processes, clock),
                "signals": signals,
                "flags": FlagsDriver(SimulatedFlags(world, self.hands), TickUsers(world.telemetry, clock), clock),
                "database": SimulatedDatabases(world, self.hands),
            },
            kinds=KINDS,
            alarm=signals,
            clock=clock,
            crash=self,
            abandoned=self._abandon,
        )

    def reach(self, position: int, phase: Phase, *, backward: bool) -> None:
        """Die here if the faults say so."""
        if self.hands.dead:
            raise Killed
        if self._faults.at_boundary(position, phase, backward=backward):
            self.hands.die()
            raise Killed

    async def live(self) -> None:
        """Take up what is in flight, and look after the world until it ends."""
        try:
            await self.processes.mend()
            await self.engine.recover()
            while True:
                self.journal.ping()
                await self.processes.mend()
                await self.runtime.retire_overdue()
                await self._world.clock.sleep(TENDING_S)
                await self.hands.look()
        except HitlessError as error:
            self._abandon(error)

    def _abandon(self, error: BaseException) -> None:
        if self.hands.dead or isinstance(error, Killed):
            return
        if not isinstance(error, HitlessError):
            self._world.checker.blame(f"a controller failed: {error!r}")
        self.hands.die()


class Site:
    """Where one controller after the other lives. Two at once only if one of them was taken for dead."""

    def __init__(self, world: SimulatedWorld, faults: Faults, rng: random.Random) -> None:
        self._world, self._faults, self._rng = world, faults, rng
        self.now: SimulatedController | None = None
        self.lives = 0
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        world.doubted = self._doubt

    def begin(self) -> None:
        """Start the first controller."""
        self._next(0.0)

    async def controller(self) -> SimulatedController:
        """Return the living controller; waits for one."""
        while self.now is None or self.now.hands.dead:
            self._changed.clear()
            await self._changed.wait()
        return self.now

    async def tell(self, order: Callable[[SimulatedController], Coroutine[Any, Any, object]]) -> bool:
        """Tell the controller something, as the API does; False if it refuses, or died over it."""
        controller = await self.controller()
        answer = asyncio.ensure_future(order(controller))
        await asyncio.wait({answer}, timeout=TOLD_S)
        if not answer.done():  # the controller died over it, or is late
            return False
        with suppress(HitlessError):
            answer.result()
            return True
        return False

    def _doubt(self, epoch: int) -> None:
        if self.now is not None and self.now.epoch == epoch:
            self._next(self._rng.uniform(*RESTART_S))

    def _ended(self, controller: list[SimulatedController]) -> None:
        if controller and self.now is controller[0]:
            if self._world.store.holder == self.now.epoch:
                self._world.store.holder = 0
            self._next(self._rng.uniform(*RESTART_S))

    def _next(self, after_s: float) -> None:
        self.now = None
        task = asyncio.get_running_loop().create_task(self._start(after_s))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _lease(self) -> None:
        """Wait until the store answers and nobody holds the lease."""
        while True:
            if not (self._world.store.is_down or self._world.store.holder):
                return
            await asyncio.sleep(LEASE_S)

    async def _start(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        await self._lease()
        me: list[SimulatedController] = []
        controller = SimulatedController(self._world, self._faults, lambda: self._ended(me))
        me.append(controller)
        self.now = controller
        self.lives += 1
        self._changed.set()
        await controller.live()
