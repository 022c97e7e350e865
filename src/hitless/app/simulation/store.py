"""The journal of the simulated world and the lease on it: what outlives every controller, and who may write."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hitless.app.simulation.hands import Hands
from hitless.engine.journal import Entry, Fact, State
from hitless.engine.ports import RunRow
from hitless.kit.errors import Abandon, Refused
from hitless.plan.ports import Clock

CLAIMING = ("running", "held", "rollback-incomplete")


@dataclass(slots=True)
class Store:
    """A PostgreSQL that keeps everything over its restarts, and lets the lease go at each."""

    clock: Clock
    epoch: int = 0
    holder: int = 0  # the epoch that holds the lease; 0: nobody
    down_until: float = 0.0
    sessions: int = 0  # grows at each restart: older connections are gone
    rows: dict[str, RunRow] = field(default_factory=dict)
    facts: dict[str, list[Entry]] = field(default_factory=dict)
    began: Callable[[str, str], None] = lambda _run, _plan: None
    written: Callable[[Entry], None] = lambda _: None
    position: int = 0
    evidence: dict[tuple[str, str], bytes] = field(default_factory=dict)

    @property
    def is_down(self) -> bool:
        """Whether nobody can connect."""
        return self.clock.now() < self.down_until

    def restart(self, away_s: float) -> None:
        """Cut all connections; the lease is free."""
        self.down_until = self.clock.now() + away_s
        self.sessions += 1
        self.holder = 0

    def take_over(self) -> int:
        """Give the lease to a new controller; returns its epoch. The one before must have let it go."""
        self.epoch += 1
        self.holder = self.epoch
        return self.epoch


class SimulatedJournal:
    """Implements `hitless.engine.ports.Journal` for one controller; every write is fenced by its epoch."""

    def __init__(self, store: Store, hands: Hands) -> None:
        self._store, self._hands = store, hands
        self._session = store.sessions

    async def create(self, plan: dict[str, Any]) -> str:
        """Begin a run and return its id. Raises Refused if a run in flight claims the same."""
        return await self._hands.touch("create", lambda: self._create(plan))

    async def append(self, run: str, fact: Fact, state: State) -> Entry:
        """Write one fact."""
        return await self._hands.touch("append", lambda: self._append(run, fact, state))

    async def entries(self, run: str, after: int = 0) -> Sequence[Entry]:
        """Read the facts of a run in order."""
        await self._hands.look()
        self.ping()
        facts = self._store.facts.get(run, [])
        first = len(facts)
        while first and facts[first - 1].position > after:
            first -= 1
        return facts[first:]

    async def find(self, run: str) -> RunRow | None:
        """Look one run up."""
        await self._hands.look()
        self.ping()
        return self._store.rows.get(run)

    async def in_flight(self) -> Sequence[RunRow]:
        """List the runs that have not come to rest."""
        await self._hands.look()
        self.ping()
        return [row for row in self._store.rows.values() if row.state in ("running", "held")]

    async def load(self, run: str, service: str) -> bytes | None:
        """Return what the guards have kept: the port `Evidence` of signals."""
        await self._hands.look()
        self.ping()
        return self._store.evidence.get((run, service))

    async def keep(self, run: str, service: str, state: bytes) -> None:
        """Keep what the guards have found."""
        await self._hands.touch("append", lambda: self._keep(run, service, state))

    def ping(self) -> None:
        """Raise Abandon if the connection is gone."""
        if self._session != self._store.sessions or self._store.is_down:
            raise Abandon("store-lost", "the journal's database is gone")

    def _fence(self) -> None:
        self.ping()
        if self._store.epoch != self._hands.epoch:
            raise Abandon("fenced", f"epoch {self._hands.epoch} was replaced by a newer controller")

    def _keep(self, run: str, service: str, state: bytes) -> None:
        self._fence()
        self._store.evidence[run, service] = state

    def _create(self, plan: dict[str, Any]) -> str:
        self._fence()
        for row in self._store.rows.values():
            if row.state in CLAIMING and (both := set(row.plan["claims"]) & set(plan["claims"])):
                raise Refused("run-under-way", f"run {row.run} has {', '.join(sorted(both))}")
        run = f"r{len(self._store.rows) + 1}"
        self._store.rows[run] = RunRow(
            run=run, change=plan["change"], state="running", created_at=self._store.clock.now(), plan=plan
        )
        self._store.facts[run] = []
        self._store.began(run, plan["hash"])
        return run

    def _append(self, run: str, fact: Fact, state: State) -> Entry:
        self._fence()
        self._store.position += 1
        entry = Entry(self._store.position, self._store.clock.now(), run, fact)
        self._store.facts[run].append(entry)
        self._store.rows[run] = replace(self._store.rows[run], state=state)
        self._store.written(entry)
        return entry
