"""One controller's reach into the simulated world: dead hands touch nothing, slow ones late, old ones are fenced."""

import asyncio
from collections.abc import Callable
from typing import Protocol, TypeVar

from hitless.app.simulation.faults import Fault, Faults
from hitless.kit.errors import Abandon, HitlessError
from hitless.kit.fence import Fenced
from hitless.kit.threads import finish
from hitless.plan.ports import Clock

T = TypeVar("T")


class Killed(BaseException):
    """The controller was killed in the middle of what it did: no handler of its own may run."""


class Ground(Protocol):
    """What hands reach into."""

    fence: int  # the highest epoch that has shut out lower ones

    def advance(self) -> None:
        """Let everything happen that happens by itself until now."""
        ...

    def lose_store(self, away_s: float) -> None:
        """Restart the journal's database."""
        ...

    def doubt(self, epoch: int) -> None:
        """Take a controller that says nothing for dead, and start another."""
        ...


class Hands:
    """Everything that a controller does to the world goes through here."""

    def __init__(self, ground: Ground, epoch: int, faults: Faults, died: Callable[[], None]) -> None:
        self.epoch = epoch
        self._ground, self._faults, self._died = ground, faults, died
        self._frozen: asyncio.Future[None] | None = None
        self.dead = False

    async def look(self) -> None:
        """Be there before something is read; a dead controller never is."""
        while self._frozen is not None:
            await self._frozen
        self._ground.advance()

    async def touch(self, what: str, effect: Callable[[], T], *, fenced: bool = False) -> T:
        """Do something to the world, as a thread of this controller would: it cannot be called back.

        `fenced`: refused with Fenced once a newer controller has taken over.
        """
        await self.look()
        fault = self._faults.at_touch(what)
        if fault is None:
            return self._do(effect, fenced=fenced)
        thread = asyncio.ensure_future(self._slowly(fault, effect, fenced=fenced))
        return await finish(thread)

    @property
    def frozen(self) -> bool:
        """Whether it is dead, or stopped for a while."""
        return self._frozen is not None

    def freeze(self) -> Callable[[], None]:
        """Stop in the middle, as a stopped process does; returns what lets it go on."""
        self._frozen = frozen = asyncio.get_running_loop().create_future()

        def thaw() -> None:
            if not self.dead and not frozen.done():
                self._frozen = None
                frozen.set_result(None)

        return thaw

    def die(self) -> None:
        """End for ever, at once."""
        if not self.dead:
            self.dead = True
            if self._frozen is None:
                self.freeze()
            self._died()

    async def _slowly(self, fault: Fault, effect: Callable[[], T], *, fenced: bool) -> T:
        done: list[T] = []
        if fault.after:
            done.append(self._do(effect, fenced=fenced))
        await self._suffer(fault)
        await self.look()
        return done[0] if done else self._do(effect, fenced=fenced)

    async def _suffer(self, fault: Fault) -> None:
        match fault.kind:
            case "kill":
                self.die()
            case "fail":
                raise HitlessError("simulated", "the simulated world did not do that, or did not say so")
            case "lose store":
                self._ground.lose_store(fault.seconds)
                raise Abandon("store-lost", "the journal's database is gone")
            case "slow":
                await asyncio.sleep(fault.seconds)
            case "pause":
                thaw = self.freeze()
                self._ground.doubt(self.epoch)
                asyncio.get_running_loop().call_later(fault.seconds, thaw)

    def _do(self, effect: Callable[[], T], *, fenced: bool) -> T:
        if fenced and self._ground.fence > self.epoch:
            raise Fenced("fenced", f"epoch {self.epoch} was replaced by {self._ground.fence}", "stop this controller")
        return effect()


class HandsClock:
    """The clock of one controller: for a dead one time does not go on."""

    def __init__(self, clock: Clock, hands: Hands) -> None:
        self._clock, self._hands = clock, hands

    def now(self) -> float:
        """Return virtual seconds since the epoch."""
        return self._clock.now()

    async def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        await self._clock.sleep(seconds)
        if self._hands.frozen:
            await self._hands.look()
