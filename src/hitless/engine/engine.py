"""All runs of one controller: beginning them, taking them up again after a kill, and what people tell them."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from hitless.engine.executor import Executor
from hitless.engine.journal import (
    Approved,
    Fact,
    Held,
    Noted,
    Resumed,
    Run,
    State,
    TurnedBack,
    Withheld,
    fold,
    state_after,
)
from hitless.engine.ports import Alarm, CrashPoints, Journal, RunRow
from hitless.kit.errors import Abandon, InvalidInput, Refused
from hitless.plan.plan import Kinds, Plan
from hitless.plan.ports import Clock, Driver


class Engine:
    """Carries runs out, each in a task of its own. One engine lives at a time; the journal sees to that."""

    def __init__(
        self,
        *,
        journal: Journal,
        drivers: Mapping[str, Driver],
        kinds: Kinds,
        alarm: Alarm,
        clock: Clock,
        crash: CrashPoints,
        abandoned: Callable[[BaseException], None],
    ) -> None:
        self._journal, self._drivers, self._kinds = journal, drivers, kinds
        self._alarm, self._clock, self._crash = alarm, clock, crash
        self._abandoned = abandoned
        self._executors: dict[str, Executor] = {}
        self._writing: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)  # per run, see Executor
        self._tasks: dict[str, asyncio.Task[State]] = {}

    async def recover(self) -> list[str]:
        """Take up every run that has not come to rest; returns their ids. What a restarted controller does first."""
        rows = await self._journal.in_flight()
        for row in rows:
            self._carry_out(row.run, Plan.from_json(row.plan, self._kinds))
        return [row.run for row in rows]

    async def begin(self, plan: Plan, *, approved_by: str | None = None, key: str | None = None, who: str = "") -> str:
        """Start carrying a plan out, its gate open if somebody approved it; returns the id of the run.

        The `key` of who asks is kept beside the plan, and the name in its journal. Raises Refused.
        """
        if plan.refusals:
            first = plan.refusals[0]
            raise Refused(first.code, first.text, first.hint)
        run = await self._journal.create(plan.to_json() | ({"key": key} if key is not None else {}))
        if who:
            await self._journal.append(run, Noted(0, {"asked": "apply", "who": who}), "running")
        if approved_by is not None:
            await self._journal.append(run, Approved(approved_by), "running")
        self._carry_out(run, plan)
        return run

    async def hold(self, run: str, why: str) -> None:
        """Let the run wait after the step it is at. Raises Refused if it is not on its way forward."""
        await self._tell(run, Held(why), lambda known: known.ended is None and known.turned_back is None)

    async def resume(self, run: str) -> None:
        """Let a held run go on, or one that got stuck on its way back try again. Raises Refused otherwise."""
        await self._tell(run, Resumed(), lambda known: known.held is not None or known.ended == "rollback-incomplete")

    async def abort(self, run: str, why: str) -> None:
        """Take a run in flight back. Raises Refused if it is at rest, or past the point of no return."""
        await self._turn_back(
            run, TurnedBack("aborted", why), lambda known: known.ended in (None, "rollback-incomplete")
        )

    async def rollback(self, run: str, why: str) -> None:
        """Take a completed run back, or one in flight.

        Raises Refused if there is nothing to take back, or it is past the point of no return.
        """
        await self._turn_back(run, TurnedBack("rolled-back", why), lambda known: known.ended != "rolled-back")

    async def approve(self, run: str, who: str) -> None:
        """Let a run do the steps behind its gate. Raises Refused if it has none left, or is on its way back."""
        plan = await self._plan_of(run)
        if plan.gate is None:
            raise Refused("nothing-open", f"run {run} has nothing that waits for an approval", f"hitless show {run}")
        await self._tell(
            run, Approved(who), lambda known: known.turned_back is None and known.reached < len(plan.steps)
        )

    async def note(self, run: str, position: int, remark: dict[str, Any]) -> None:
        """Write down what moves nothing."""
        await self._tell(run, Noted(position, remark), lambda _: True)

    async def withhold(self, run: str, code: str, text: str, hint: str) -> None:
        """Say why what a completed run has left open is not done now. Raises Refused if it is under way."""
        plan = await self._plan_of(run)
        await self._tell(
            run,
            Withheld(plan.gate or 0, code, text, hint),
            lambda known: known.ended == "completed" and known.turned_back is None and known.reached == plan.gate,
        )

    async def finished(self, run: str) -> State:
        """Wait until a run is at rest."""
        return await asyncio.shield(self._tasks[run])

    async def settled(self, run: str, timeout_s: float) -> bool:
        """Wait until a run stands still: at rest, or held between two steps. False if it does not in time."""
        if run not in self._tasks:
            return True
        task, stands = self._tasks[run], asyncio.ensure_future(self._executors[run].standing.wait())
        waiting: list[asyncio.Future[Any]] = [stands, task]
        done, _ = await asyncio.wait(waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        stands.cancel()
        return bool(done)

    async def close(self) -> None:
        """Stop acting; whatever is under way is left as it is, for the next controller."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _turn_back(self, run: str, fact: TurnedBack, allowed: Callable[[Run], bool]) -> None:
        plan = await self._plan_of(run)

        def may_go_back(known: Run) -> bool:
            border = plan.no_way_back
            if border is not None and known.reached > border:
                raise Refused(
                    "no-way-back",
                    f"run {run} has done what cannot be undone: {plan.steps[border].describe()}",
                    "go forward: make a change that brings the old shape back",
                )
            return allowed(known)

        await self._tell(run, fact, may_go_back)

    async def _plan_of(self, run: str) -> Plan:
        row = await self._journal.find(run)
        if row is None:
            raise InvalidInput("unknown-run", f"there is no run {run!r}", "see: hitless runs")
        return Plan.from_json(row.plan, self._kinds)

    async def _tell(self, run: str, fact: Fact, allowed: Callable[[Run], bool]) -> None:
        """Write what somebody wants, if the run still allows it: it does not move while we look and write."""
        row = await self._journal.find(run)
        if row is None:
            raise InvalidInput("unknown-run", f"there is no run {run!r}", "see: hitless runs")
        async with self._writing[run]:
            known = fold(await self._journal.entries(run))
            if not allowed(known):
                raise Refused("wrong-state", f"run {run} is {_where(known)}", f"see: hitless show {run}")
            await self._journal.append(run, fact, state_after(known, fact))
        self._take_up(row)

    def _take_up(self, row: RunRow) -> None:
        task = self._tasks.get(row.run)
        if task is None or task.done():
            self._carry_out(row.run, Plan.from_json(row.plan, self._kinds))
        else:
            self._executors[row.run].wake()

    def _carry_out(self, run: str, plan: Plan) -> None:
        executor = Executor(
            run=run,
            plan=plan,
            journal=self._journal,
            drivers=self._drivers,
            alarm=self._alarm,
            clock=self._clock,
            crash=self._crash,
            writing=self._writing[run],
        )
        self._executors[run] = executor
        task = asyncio.get_running_loop().create_task(executor.carry_out(), name=f"run {run}")
        task.add_done_callback(self._check)
        self._tasks[run] = task

    def _check(self, task: asyncio.Task[State]) -> None:
        """A run that ended by an error takes the whole controller down: the next one starts from the journal."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._abandoned(error)
            if not isinstance(error, Abandon):
                task.get_loop().call_exception_handler({"message": "a run failed", "exception": error, "task": task})


def _where(run: Run) -> str:
    return "on its way back" if run.turned_back is not None and run.ended is None else run.state
