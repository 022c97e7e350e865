"""The engine's journal, kept in the store."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from hitless.engine.journal import FACT_NAMES, FACTS, Entry, Fact, Noted, State
from hitless.engine.ports import RunRow
from hitless.store.postgres import Fact as Line
from hitless.store.postgres import Store


class StoredJournal:
    """Implements `hitless.engine.ports.Journal`; the store fences every write by the controller's epoch."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def create(self, plan: dict[str, Any]) -> str:
        """Begin a run and return its id. Raises Refused if a run in flight claims the same services."""
        return await self._store.create_run(plan)

    async def append(self, run: str, fact: Fact, state: State) -> Entry:
        """Write one fact; it is on disk at the return."""
        return _entry(await self._store.append(run, FACT_NAMES[type(fact)], asdict(fact), state))

    async def remark(self, run: str, remark: dict[str, object]) -> None:
        """Write down something that moves nothing, wherever the run is by then."""
        await self._store.append(run, FACT_NAMES[Noted], asdict(Noted(0, remark)), None)

    async def entries(self, run: str, after: int = 0) -> Sequence[Entry]:
        """Read the facts of a run in order."""
        return [_entry(line) for line in await self._store.facts(run, after)]

    async def find(self, run: str) -> RunRow | None:
        """Look one run up."""
        rows = await self._store.runs(run=run, limit=1)
        return RunRow(**rows[0]) if rows else None

    async def in_flight(self) -> Sequence[RunRow]:
        """List the runs that have not come to rest."""
        return [RunRow(**row) for row in await self._store.runs(in_flight=True)]


def _entry(line: Line) -> Entry:
    return Entry(line.position, line.at, line.run, FACTS[line.fact](**line.body))
