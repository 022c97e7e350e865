"""Writes into the journal what users felt while a run went on, when it comes to rest."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from hitless.app.recent_ticks import CLOSED_S, recent_ticks
from hitless.app.world import World
from hitless.engine.journal import Ended, Entry, Fact, Noted, State
from hitless.engine.ports import Journal, RunRow
from hitless.kit.errors import HitlessError
from hitless.signals.ports import Second

PATIENCE_S = 5.0  # with a recorder that a busy machine keeps waiting: what it does not tell now is in no account
SETTLED_S = CLOSED_S + 1.0  # after the end, until the last seconds of the run are counted too
Felt = Callable[[float, float], Awaitable[list[Second]]]  # since, until -> closed seconds


class CountingJournal:
    """A journal that notes the counts of a run just before it ends, and once more when its last seconds are closed.

    The first note makes the account whole even if this process dies right after the end; the second is exact.
    """

    def __init__(self, inner: Journal, felt: Felt) -> None:
        self._inner, self._felt = inner, felt
        self._later: set[asyncio.Task[None]] = set()

    async def create(self, plan: dict[str, Any]) -> str:
        """Begin a run and return its id."""
        return await self._inner.create(plan)

    async def append(self, run: str, fact: Fact, state: State) -> Entry:
        """Write one fact; an end is preceded by what users felt until now."""
        if not isinstance(fact, Ended):
            return await self._inner.append(run, fact, state)
        row = await self._inner.find(run)
        since = row.created_at if row else 0.0
        await self._inner.append(run, await self._note(since, float("inf")), state)
        end = await self._inner.append(run, fact, state)
        task = asyncio.create_task(self._again(run, since, end.at, state), name=f"counts of {run}")
        self._later.add(task)
        task.add_done_callback(self._later.discard)
        return end

    async def entries(self, run: str, after: int = 0) -> Sequence[Entry]:
        """Read the facts of a run in order."""
        return await self._inner.entries(run, after)

    async def find(self, run: str) -> RunRow | None:
        """Look one run up."""
        return await self._inner.find(run)

    async def in_flight(self) -> Sequence[RunRow]:
        """List the runs that have not come to rest."""
        return await self._inner.in_flight()

    async def _again(self, run: str, since: float, until: float, state: State) -> None:
        """Whoever went on with the run meanwhile writes a newer count; this one then says less and comes first."""
        await asyncio.sleep(SETTLED_S)
        with suppress(HitlessError):  # a newer controller, or a store that is gone: the first note stands
            if (row := await self._inner.find(run)) is not None and row.state == state:
                await self._inner.append(run, await self._note(since, until), state)

    async def _note(self, since: float, until: float) -> Noted:
        return Noted(0, {"counted": counts(await self._felt(since, until), since)})


def felt_in(world: World) -> Felt:
    """Read what users felt from the recorder of the running system."""

    async def felt(since: float, until: float) -> list[Second]:
        seconds = await recent_ticks(world.ticks, world.clock, since, PATIENCE_S)
        return [second for second in seconds if second.at <= until]

    return felt


def counts(seconds: Sequence[Second], since: float) -> dict[str, Any]:
    """Add seconds up: over all services, and for each slot of each of them."""
    services: dict[str, dict[str, dict[str, int]]] = {}
    for second in seconds:
        for (service, slot), arm in second.arms.items():
            told = services.setdefault(service, {}).setdefault(slot, {"requests": 0, "failed": 0})
            told["requests"] += arm.requests
            told["failed"] += arm.failed - arm.saved  # a retry saved the client
    arms = [arm for slots in services.values() for arm in slots.values()]
    return {
        "since": float(seconds[0].at) if seconds else since,
        "until": float(seconds[-1].at + 1) if seconds else since,
        "total": sum(arm["requests"] for arm in arms),
        "failed": sum(arm["failed"] for arm in arms),
        "lost": sum(second.lost for second in seconds),
        "services": {name: dict(sorted(services[name].items())) for name in sorted(services)},
    }
