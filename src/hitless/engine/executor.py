"""The one loop that acts: it writes down, then touches, then writes down again."""

import asyncio
from collections.abc import Mapping

from hitless.engine.journal import (
    NOTHING,
    Ended,
    Fact,
    Finished,
    Held,
    Noted,
    Run,
    Started,
    State,
    TurnedBack,
    Undoing,
    Undone,
    Withheld,
    fold,
    state_after,
)
from hitless.engine.machine import Do, Move, Stop, Undo, Wait, next_move
from hitless.engine.ports import Alarm, CrashPoints, Journal
from hitless.kit.errors import Abandon, HitlessError, Refused
from hitless.kit.threads import outlast
from hitless.plan.plan import Plan
from hitless.plan.ports import Clock, Driver, Moment, StepFailed
from hitless.plan.step import Step

TRIES = 10  # 21 s of pauses: as long as a failover of a database takes
FIRST_PAUSE_S = 0.1  # doubles up to the longest
LONGEST_PAUSE_S = 5.0


class Executor:
    """Carries one run out, from wherever its journal stands."""

    def __init__(
        self,
        *,
        run: str,
        plan: Plan,
        journal: Journal,
        drivers: Mapping[str, Driver],
        alarm: Alarm,
        clock: Clock,
        crash: CrashPoints,
        writing: asyncio.Lock,
    ) -> None:
        """`writing` is held by whoever looks at the run and then writes, so that nobody writes in between."""
        self._id, self._plan, self._journal = run, plan, journal
        self._drivers, self._alarm, self._clock, self._crash = drivers, alarm, clock, crash
        self._writing = writing
        self._known, self._after = NOTHING, 0  # what the facts up to this position add up to
        self._reading = asyncio.Lock()
        self._news = asyncio.Event()  # cleared only by the loop, before it reads: so no fact is ever overlooked
        self.standing = asyncio.Event()  # held, between two steps

    def wake(self) -> None:
        """Tell that somebody wrote a fact into the journal: look at it now."""
        self._news.set()

    async def carry_out(self) -> State:
        """Go on until the run is at rest. Raises Abandon when another controller has taken over."""
        while True:
            self._news.clear()
            match await self._decide():
                case Do(position):
                    await self._forward(position)
                case Undo(position):
                    await self._backward(position)
                case Wait():
                    self.standing.set()
                    await self._news.wait()
                    self.standing.clear()
                case Stop(state):
                    return state

    async def _decide(self) -> Move:
        """Decide what is next and write it down, before anybody can tell the run something else."""
        async with self._writing:
            run = await self._read()
            move = next_move(run, len(self._plan.steps), self._plan.gate)
            match move:
                case Do(position):
                    self._crash.reach(position, "before", backward=False)
                    if not run.in_doubt:
                        await self._write(Started(position))
                case Undo(position):
                    self._crash.reach(position, "before", backward=True)
                    if not run.undoing:
                        await self._write(Undoing(position))
                case Stop(state) if run.ended is None:
                    await self._write(Ended(state))
                case _:
                    pass
            return move

    async def _forward(self, position: int) -> None:
        self._crash.reach(position, "intent", backward=False)
        moment = self._moment(position, self._known.started_at[position], backward=False)
        failure = await self._until_interrupted(self._plan.steps[position], moment)
        if isinstance(failure, StepFailed):
            for fact in after_failure(self._plan, position, failure):
                await self._append(fact)
        elif failure is None:
            self._crash.reach(position, "effect", backward=False)
            await self._append(Finished(position))
            self._crash.reach(position, "done", backward=False)

    async def _backward(self, position: int) -> None:
        self._crash.reach(position, "intent", backward=True)
        inverse = self._plan.steps[position].inverse()
        if inverse is not None:
            moment = self._moment(position, self._clock.now(), backward=True)
            failure = await self._ensure(inverse, moment)
            if failure is not None:
                await self._append(Ended("rollback-incomplete", failure.code, failure.text))
                return
        self._crash.reach(position, "effect", backward=True)
        await self._append(Undone(position))
        self._crash.reach(position, "done", backward=True)

    async def _until_interrupted(self, step: Step, moment: Moment) -> StepFailed | str | None:
        """Do a step; return None when it is done, why it failed, or "interrupted" when a new fact stopped it first."""
        self._news.clear()
        if self._stops(step, await self._read()):
            return "interrupted"
        work = asyncio.ensure_future(self._ensure(step, moment))
        alarm = asyncio.ensure_future(self._alarm.harm(self._plan))
        try:
            while not work.done():
                news = asyncio.ensure_future(self._news.wait())
                await asyncio.wait({work, alarm, news}, return_when=asyncio.FIRST_COMPLETED)
                news.cancel()
                if alarm.done() and not work.done():
                    return alarm.result()
                self._news.clear()
                if not work.done() and self._stops(step, await self._read()) and not work.done():
                    return "interrupted"
            return work.result()
        finally:
            await _end(work)
            await _end(alarm)

    @staticmethod
    def _stops(step: Step, run: Run) -> bool:
        """A run that turned back stops at once; a held one at a step that changes nothing, else after the step."""
        return run.turned_back is not None or (run.held is not None and step.inverse() is None)

    async def _ensure(self, step: Step, moment: Moment) -> StepFailed | None:
        """Bring a step's effect about, looking first; try again on trouble that may pass."""
        pause_s = FIRST_PAUSE_S
        for attempt in range(1, TRIES + 1):
            try:
                failure = await self._attempt(step, moment)
            except Abandon:
                raise
            except Exception as trouble:  # noqa: BLE001  whatever a driver meets must end in a retry or in going back
                await moment.note({"trouble": repr(trouble)[:500], "attempt": attempt})
                if attempt == TRIES:
                    return _give_up(step, trouble)
            else:
                if failure is None or not moment.backward or attempt == TRIES:
                    return failure
            await self._clock.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        return None

    async def _attempt(self, step: Step, moment: Moment) -> StepFailed | None:
        """Try once; returns what the room says against it. Anything else that is raised may pass."""
        driver = self._drivers[step.room]
        try:
            if not await driver.done(step, moment):
                await driver.do(step, moment)
        except StepFailed as failure:
            return failure
        except Refused as refusal:  # a room looked, and touched nothing
            return StepFailed(refusal.code, refusal.text, refusal.hint)
        return None

    def _moment(self, position: int, started_at: float, *, backward: bool) -> Moment:
        async def note(remark: dict[str, object]) -> None:
            await self._append(Noted(position, remark))

        return Moment(
            run=self._id,
            position=position,
            started_at=started_at,
            resumed_at=self._known.resumed_at,
            backward=backward,
            note=note,
        )

    async def _append(self, fact: Fact) -> None:
        async with self._writing:
            await self._read()
            await self._write(fact)

    async def _write(self, fact: Fact) -> None:
        await self._journal.append(self._id, fact, state_after(self._known, fact))
        await self._read()

    async def _read(self) -> Run:
        async with self._reading:
            entries = await self._journal.entries(self._id, self._after)
            if entries:
                self._known, self._after = fold(entries, self._known), entries[-1].position
            return self._known


def after_failure(plan: Plan, position: int, failure: StepFailed) -> tuple[Fact, ...]:
    """Return what follows from a step that failed: behind the gate nothing was done; else as the plan says."""
    code, text, hint = failure.code, failure.text, failure.hint
    border = plan.no_way_back
    passed = border is not None and position > border  # something is done already that cannot be undone
    if plan.gate is not None and position >= plan.gate:
        return (Withheld(position if passed else plan.gate, code, text, hint),)
    changes_nothing = plan.steps[position].inverse() is None
    match plan.on_failure:
        case "take back" if not passed:
            return (TurnedBack(code, text, hint),)
        case "go on" if changes_nothing:
            return (Noted(position, {"went_on": code, "text": text}), Finished(position))
        case _:
            return (Held(f"{code}: {text}", again=changes_nothing),)


def _give_up(step: Step, trouble: Exception) -> StepFailed:
    if isinstance(trouble, HitlessError):
        return StepFailed(trouble.code, trouble.text, trouble.hint)
    return StepFailed(
        "step-failed", f"{step.describe()}: {trouble!r}", "see the controller's log: hitless logs controller"
    )


async def _end(task: asyncio.Future[StepFailed | None] | asyncio.Future[StepFailed]) -> None:
    """Cancel a task and wait until it is gone, so that nothing acts behind the executor's back."""
    if not task.done():
        task.cancel()
        await outlast(task)
        if not task.cancelled():
            task.result()
