"""The use cases of a running system: what the API and the command line can ask for."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from hitless.app.account import account_of
from hitless.app.auditing import audit
from hitless.app.bring_up import Resting, bring_up
from hitless.app.contract_cases import ContractCases
from hitless.app.crash import FileCrashPoints
from hitless.app.database_planning import schema_of, seen
from hitless.app.databases import Databases
from hitless.app.differences import running, structural
from hitless.app.exposure import exposed_now
from hitless.app.flag_cases import FlagCases
from hitless.app.going_back import ACCEPTED, lost, refuse_loss
from hitless.app.journal import StoredJournal
from hitless.app.launches import Launches, missing
from hitless.app.measured import asked
from hitless.app.observation import instance_states, observe, status_of
from hitless.app.paths import load_system
from hitless.app.plan_database import DatabasePart
from hitless.app.plan_flags import FlagsNow, FlagsPart
from hitless.app.plan_services import ServicesPart
from hitless.app.planner import Planner
from hitless.app.proof.proof import Pair, Prover, pairs_of
from hitless.app.proof.state import State
from hitless.app.rehearsals import Rehearsals
from hitless.app.report import Reports
from hitless.app.simulating import simulated
from hitless.app.still_needed import StillNeeded
from hitless.app.way_back import against_going_back
from hitless.app.world import KINDS, World
from hitless.engine.engine import Engine
from hitless.engine.journal import FACT_NAMES, Ended, Entry, Noted, fold
from hitless.engine.ports import RunRow
from hitless.kit.errors import HitlessError, InvalidInput, Refused
from hitless.plan.change import Change, read_change
from hitless.plan.plan import Plan
from hitless.plan.system import System
from hitless.signals.prometheus import resolves
from hitless.store.postgres import Store

SETTLE_S = 30.0
HEARTBEAT_S = 1.0


class Controller:
    """One system, one controller."""

    def __init__(self, *, file: Path, state: Path, system: System, world: World, store: Store, engine: Engine) -> None:
        self._file, self._state, self._system = file, state, system
        self._world, self._store, self._engine = world, store, engine
        self.flags = FlagCases(world.published)
        self._journal = StoredJournal(store)
        self._reports = Reports(world, self._journal)
        self._crash = FileCrashPoints(state)
        self._rehearsals = Rehearsals()
        self._deciding = asyncio.Lock()  # what is planned must still hold when it begins
        self.contracts = ContractCases(world=world, store=store, engine=engine, deciding=self._deciding)

    @property
    def epoch(self) -> int:
        """The number of this controller; each later one has a higher."""
        return self._store.epoch

    async def status(self) -> dict[str, Any]:
        """Return what runs, as `status --json` prints it."""
        states = await instance_states(self._world)
        facts = await observe(self._world, states)  # of the same moment: instances come and go
        services = status_of(facts, states, await self._world.gateway.places())
        flying = await self._in_flight()
        run = None
        if flying:
            newest = flying[0]
            run = {"run": newest.run, "change": newest.change, "state": newest.state}
        return {"system": self._system.system, "services": services, "run": run}

    async def bring_up(self) -> dict[str, Any]:
        """Have every service running and reached. Raises Refused with the list of differences if others run."""
        async with self._deciding:
            system = self._file_now()
            launches = self._launches(system)
            facts, resting = await observe(self._world), Resting(self._state)
            found = [*structural(self._system, system), *running(system, facts, launches.of)]
            if found:
                raise Refused(
                    "differs",
                    f"{self._file.name} is not what runs: {'; '.join(found)}",
                    "a change without `to` carries out what a service runs with; the rest: hitless down, hitless up",
                )
            await self._databases(system).bring_up(self._world.clock)
            schemas = await self._databases(system).in_force()
            started = await bring_up(system, facts, self._world, launches, resting, schemas)
            if set(started) == set(system.services):
                await self._forget()
        self._warming = asyncio.create_task(self.warm())
        return {**await self.status(), "started": started}

    async def _forget(self) -> None:
        """What users met while nothing was ready yet is no version's fault: a run that was held goes on after this."""
        with suppress(OSError):  # a recorder that is away has forgotten it as well
            await self._world.ticks.forget()

    async def warm(self) -> None:
        """Have what the next plan needs ready, unless something is under way. Asked now and then."""
        with suppress(HitlessError):  # the plan itself will say so
            if not await self._in_flight():
                await self._rehearsals.warm(self._databases(self._file_now()))

    async def plan(self, source: str, *, file: str) -> Plan:
        """Return what a change would do now. Raises InvalidInput for a change that cannot be read."""
        change = read_change(source, file=file)
        system = self._file_now()
        if found := list(structural(self._system, system)):
            raise Refused("differs", f"{self._file.name} is not what runs: {'; '.join(found)}", "hitless down, then up")
        facts, flying = await observe(self._world), await self._in_flight()
        databases = await seen(change, system, self._databases(system), facts, self._rehearsals)
        services = ServicesPart(
            system=system,
            facts=facts,
            folder=str(self._file.parent),
            launch_of=self._launches(system).of,
            missing=missing,
            resolves=resolves,
            change=change,
            schemas=databases.schemas,
        )
        planner = Planner(
            change=change,
            source=source,
            in_flight={row.run: frozenset(row.plan["claims"]) for row in (*flying, *await self._stuck())},
            start=State.of(facts, databases.live),
            prover=Prover(system=system, change=change, schema_of=schema_of, observed=await self._observed()),
            exposed_by={row.run: exposed_now(facts, row.plan["claims"]) for row in flying},
            felt=facts.felt,
        )
        return planner.plan(
            replace(databases.part, held_by=await self._held_by(databases.part)).propose(),
            services.propose(),
            FlagsPart(system=system, change=change, now=await self._flags_now(change)).propose(),
            await asked(change, facts, self._world.sources, self._world.clock.now()),
        )

    async def simulate(self, plan: Plan, runs: int) -> dict[str, Any] | None:
        """Return what comes of seeded runs of a plan in a world like this one; None for a plan that is refused."""
        return None if plan.refusals else await simulated(plan, await observe(self._world), runs)

    async def _held_by(self, part: DatabasePart) -> dict[str, tuple[str, ...]]:
        """Return by database which flags hold the contract of a change up as they are now."""
        needed = StillNeeded(self._world)
        chosen = [each for each in part.selections.values() if each.chosen]
        return {each.name: await needed.flags(each.name, each.version) for each in chosen if not each.against()}

    async def _flags_now(self, change: Change) -> FlagsNow:
        """A change without flags is planned also while the flag server is away."""
        return await self.flags.now(change.flags) if change.flags else FlagsNow()

    async def _observed(self) -> frozenset[Pair]:
        """What was live together in runs that went well."""
        rows = [RunRow(**row) for row in await self._store.runs()]
        return frozenset(pair for row in rows if row.state == "completed" for pair in pairs_of(row.plan))

    async def apply(
        self,
        source: str,
        *,
        file: str,
        expected_hash: str | None,
        approved_by: str | None = None,
        crash_at: str | None = None,
        key: str | None = None,
        who: str = "",
    ) -> str:
        """Begin a run; returns its id. Raises Refused, also when a saved plan no longer is what would be done.

        `who` asks for it, which stands in the journal before anything is done.
        `approved_by` agrees beforehand to what this very plan does behind its gate. Asked again with the same `key`,
        because an answer was lost, it returns the run that was begun the first time.
        """
        async with self._deciding:
            if key is not None and (begun := await self._begun(key)) is not None:
                return begun
            plan = await self.plan(source, file=file)
            if expected_hash is not None and plan.hash != expected_hash:
                raise Refused("plan-stale", "the system has changed since this plan was made", "plan again")
            if crash_at:
                self._crash.arm(crash_at)
            return await self.contracts.begin(plan, approved_by, key, who)

    async def _begun(self, key: str) -> str | None:
        rows = [RunRow(**row) for row in await self._store.runs()]
        return next((row.run for row in rows if row.plan.get("key") == key), None)

    def take_metrics(self, request: object) -> int:
        """Take an OTLP metrics request; returns how many points were refused. Raises InvalidInput for anything else."""
        try:
            return self._world.otlp.take(request)
        except ValueError as error:
            raise InvalidInput("broken-metrics", str(error), "see the protocol: OTLP over HTTP") from None

    async def runs(self) -> list[dict[str, Any]]:
        """List the runs, the newest first."""
        rows = [RunRow(**row) for row in await self._store.runs()]
        return [
            {"run": row.run, "change": row.change, "state": row.state, "created_at": row.created_at} for row in rows
        ]

    async def show(self, run: str) -> dict[str, Any]:
        """Return one run, as `show RUN --json` prints it. Raises InvalidInput if there is none."""
        return await self._reports.show(await self._row(run))

    async def account(self, run: str) -> dict[str, Any]:
        """Return what was promised and what happened, from the journal alone. Raises InvalidInput if there is none."""
        return account_of(await self._row(run), await self._journal.entries(run))

    async def asked(self, run: str, what: str, who: str) -> None:
        """Write down who asked for something, before it is done or refused."""
        await self._row(run)
        await self._journal.remark(run, {"asked": what, "who": who})

    async def audit(self, expected: str = "") -> dict[str, Any]:
        """Tell whether the journal is as it was written."""
        return await audit(self._store, expected)

    async def hold(self, run: str, why: str) -> None:
        """Let the run wait after the step it is at."""
        await self._engine.hold(run, why)

    async def settle(self, run: str) -> bool:
        """Wait until a held run stands still between two steps; False if it does not within 30 s."""
        return await self._engine.settled(run, SETTLE_S)

    async def resume(self, run: str) -> None:
        """Let a held run go on."""
        await self._engine.resume(run)

    async def abort(self, run: str, why: str) -> None:
        """Take a run in flight back."""
        await self._engine.abort(run, why)

    async def rollback(self, run: str, why: str, accept_loss: int = 0) -> None:
        """Take a completed run back; `accept_loss` rows may be given up that the old side cannot hold.

        Raises Refused if a later run stands on it, or what going back needs is no longer there.
        """
        row = await self._row(run)
        async with self._deciding:
            await self._refuse_later(row)
            plan = Plan.from_json(row.plan, KINDS)
            reached = fold(await self._journal.entries(run)).reached
            for refusal in against_going_back(plan.steps[:reached], await observe(self._world), missing):
                raise Refused(refusal.code, f"run {run} cannot be taken back: {refusal.text}", refusal.hint)
            refuse_loss(run, await lost(plan.steps[:reached], self._world.databases, "new"), accept_loss)
            if accept_loss:
                await self._engine.note(run, 0, {ACCEPTED["new"]: accept_loss})
            await self._engine.rollback(run, why)

    async def _refuse_later(self, row: RunRow) -> None:
        claims = set(row.plan["claims"])
        for later in (RunRow(**each) for each in await self._store.runs()):
            if later.run == row.run:
                break
            if later.state != "rolled-back" and (both := sorted(claims & set(later.plan["claims"]))):
                raise Refused(
                    "not-last",
                    f"run {later.run} ({later.change}) came after {row.run} and has {', '.join(both)}",
                    f"take that one back first: hitless rollback {later.run}",
                )

    async def position(self, run: str) -> int:
        """Return where the journal of a run ends now. Raises InvalidInput if there is no such run."""
        await self._row(run)
        entries = await self._journal.entries(run)
        return entries[-1].position if entries else 0

    async def follow(self, run: str, after: int) -> AsyncIterator[dict[str, Any] | None]:
        """Yield the journal of a run from a position on, for ever; None about once a second while nothing happens."""
        while True:
            entries = await self._journal.entries(run, after)
            for entry in entries:
                after = entry.position
                yield line(entry, last=_is_rest(entry, entries))
            if not entries:
                yield None
                await self._store.news(HEARTBEAT_S)

    async def _row(self, run: str) -> RunRow:
        row = await self._journal.find(run)
        if row is None:
            raise InvalidInput("unknown-run", f"there is no run {run!r}", "see: hitless runs")
        return row

    async def _in_flight(self) -> list[RunRow]:
        return list(await self._journal.in_flight())

    async def _stuck(self) -> list[RunRow]:
        """Runs that did not get back whole: what they claim is theirs until somebody has mended it."""
        rows = [RunRow(**row) for row in await self._store.runs()]
        return [row for row in rows if row.state == "rollback-incomplete"]

    def _file_now(self) -> System:
        return load_system(self._file)

    def _databases(self, system: System) -> Databases:
        return Databases(system=system, folder=self._file.parent, state=self._state)

    def _launches(self, system: System) -> Launches:
        return Launches(system, self._file.parent, self._state)


def _is_rest(entry: Entry, entries: Sequence[Entry]) -> bool:
    """Whether nothing moved after this fact; remarks move nothing."""
    return all(isinstance(later.fact, Noted) for later in entries if later.position > entry.position)


def line(entry: Entry, *, last: bool) -> dict[str, Any]:
    """Write a fact for programs; `last` tells at an end whether the run is at rest now."""
    ended = {"last": last} if isinstance(entry.fact, Ended) else {}
    name = FACT_NAMES[type(entry.fact)]
    return {
        "position": entry.position,
        "at": entry.at,
        "run": entry.run,
        "fact": name,
        "body": asdict(entry.fact),
        **ended,
    }
