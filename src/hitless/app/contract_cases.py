"""Contract as a use case: asked for by a person, or done by itself when its time has come."""

import asyncio
from contextlib import suppress

from hitless.app.contract_rules import AGREED, approval_at_start, contracts, held_until, left_open
from hitless.app.going_back import ACCEPTED, AcceptedLoss, lost, refuse_loss
from hitless.app.journal import StoredJournal
from hitless.app.still_needed import StillNeeded
from hitless.app.too_early import by_time
from hitless.app.world import KINDS, World
from hitless.engine.engine import Engine
from hitless.engine.ports import RunRow
from hitless.kit.errors import Abandon, HitlessError, InvalidInput, Refused
from hitless.plan.plan import Plan
from hitless.store.postgres import Store


class ContractCases:
    """What runs have left open behind their gates."""

    def __init__(self, *, world: World, store: Store, engine: Engine, deciding: asyncio.Lock) -> None:
        self._world, self._store, self._engine, self._deciding = world, store, engine, deciding
        self._journal, self._needed = StoredJournal(store), StillNeeded(world)

    async def begin(self, plan: Plan, approved_by: str | None, key: str | None = None, who: str = "") -> str:
        """Begin a run, its gate open if that was approved or needs no approval; returns its id. Raises Refused."""
        opened = approval_at_start(plan, approved_by)
        run = await self._engine.begin(plan, approved_by=opened, key=key, who=who)
        if approved_by is not None and opened is None and plan.gate is not None:
            await self._engine.note(run, plan.gate, {AGREED: approved_by})
        return run

    async def approve(self, run: str, who: str, accept_loss: int | None = None) -> None:
        """Let a run do what it has left open. Raises Refused if nothing is, runs would meet, or it is too early.

        `accept_loss` rows may be given up that the new side cannot hold; None: what was said of them before counts.
        """
        row = await self._journal.find(run)
        if row is None:
            raise InvalidInput("unknown-run", f"there is no run {run!r}", "see: hitless runs")
        plan = Plan.from_json(row.plan, KINDS)
        await self._refuse_meeting(row)
        # looks at databases: nobody else waits for that; the step looks once more
        await self._refuse_early(plan, run)
        accepted = await AcceptedLoss(self._journal)(run, "old")
        wanted = accepted if accept_loss is None else accept_loss
        refuse_loss(run, await lost(plan.steps, self._world.databases, "old"), wanted)
        async with self._deciding:
            await self._refuse_meeting(row)
            if wanted != accepted:
                await self._engine.note(run, plan.gate or 0, {ACCEPTED["old"]: wanted})
            await self._engine.approve(run, who)

    async def _refuse_meeting(self, row: RunRow) -> None:
        """Raise Refused while another run has something that this one needs."""
        for other in await self._journal.in_flight():
            if other.run != row.run and (both := sorted(set(row.plan["claims"]) & set(other.plan["claims"]))):
                raise Refused(
                    "run-under-way",
                    f"run {other.run} ({other.change}) has {', '.join(both)}",
                    f"wait for it: hitless watch {other.run}",
                )

    async def _refuse_early(self, plan: Plan, run: str) -> None:
        """Raise Refused while somebody needs what the run would take away."""
        for refusal in by_time(held_until(plan, await self._journal.entries(run)), self._world.clock.now()):
            raise refusal
        for step in contracts(plan):
            await self._needed.refuse(step)

    async def tend(self) -> None:
        """Do what was approved beforehand, or needs no approval, once its time has come. Asked now and then."""
        now = self._world.clock.now()
        for row in (RunRow(**each) for each in await self._store.runs()):
            if row.state == "completed" and row.plan["gate"] is not None and (who := await self._due(row, now)):
                try:
                    await self.approve(row.run, who)
                except Abandon:
                    raise
                except HitlessError as refusal:  # a database or a flag server may be away
                    with suppress(Refused):  # somebody was faster
                        await self._engine.withhold(row.run, refusal.code, refusal.text, refusal.hint)

    async def _due(self, row: RunRow, now: float) -> str | None:
        still = left_open(Plan.from_json(row.plan, KINDS), await self._journal.entries(row.run))
        if still is None or still.due_at is None or now < still.due_at:
            return None
        return still.who
