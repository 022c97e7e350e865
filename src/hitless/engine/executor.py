"""The one loop that acts: it writes down, then touches, then writes down again."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from hitless.engine.journal import (
    Ended,
    Entry,
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
)
from hitless.engine.machine import Do, Stop, Undo, Wait, next_move
from hitless.engine.ports import Alarm, CrashPoints, Journal
from hitless.kit.errors import Abandon, HitlessError, Refused
from hitless.plan.plan import Plan
from hitless.plan.ports import Clock, Driver, Moment, StepFailed
from hitless.plan.step import Step

FORWARD_TRIES = 5  # going back is always possible, so going on is not insisted upon
BACKWARD_TRIES = 10
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
    ) -> None:
        self._id, self._plan, self._journal = run, plan, journal
        self._drivers, self._alarm, self._clock, self._crash = drivers, alarm, clock, crash
        self._entries: list[Entry] = []
        self._news = asyncio.Event()
        self.standing = asyncio.Event()  # held, between two steps
        self._reading = asyncio.Lock()  # a step notes remarks while the loop reads

    def wake(self) -> None:
        """Tell that somebody wrote a fact into the journal: look at it now."""
        self._news.set()

    async def carry_out(self) -> State:
        """Go on until the run is at rest. Raises Abandon when another controller has taken over."""
        while True:
            run = await self._read()
            match next_move(run, len(self._plan.steps), self._plan.gate):
                case Do(position):
                    await self._forward(position, run)
                case Undo(position):
                    await self._backward(position, run)
                case Wait():
                    self.standing.set()
                    await self._news.wait()
                    self.standing.clear()
                case Stop(state):
                    if run.ended is None:
                        await self._append(Ended(state), state)
                    return state

    async def _forward(self, position: int, run: Run) -> None:
        step = self._plan.steps[position]
        self._crash.reach(position, "before", backward=False)
        if not (run.in_doubt and run.reached == position + 1):
            run = await self._append(Started(position))
        self._crash.reach(position, "intent", backward=False)
        moment = self._moment(position, run.started_at[position], backward=False)
        failure = await self._until_interrupted(step, moment)
        if isinstance(failure, StepFailed):
            for fact in after_failure(self._plan, position, failure):
                await self._append(fact)
        elif failure is None:
            self._crash.reach(position, "effect", backward=False)
            await self._append(Finished(position))
            self._crash.reach(position, "done", backward=False)

    async def _backward(self, position: int, run: Run) -> None:
        inverse = self._plan.steps[position].inverse()
        self._crash.reach(position, "before", backward=True)
        if not run.undoing:
            await self._append(Undoing(position))
        self._crash.reach(position, "intent", backward=True)
        if inverse is not None:
            moment = self._moment(position, self._clock.now(), backward=True)
            failure = await self._ensure(inverse, moment, BACKWARD_TRIES)
            if failure is not None:
                await self._append(Ended("rollback-incomplete", failure.code, failure.text), "rollback-incomplete")
                return
        self._crash.reach(position, "effect", backward=True)
        await self._append(Undone(position))
        self._crash.reach(position, "done", backward=True)

    async def _until_interrupted(self, step: Step, moment: Moment) -> StepFailed | str | None:
        """Do a step; return None when it is done, why it failed, or "interrupted" when a new fact stopped it first."""
        work = asyncio.ensure_future(self._ensure(step, moment, FORWARD_TRIES))
        alarm = asyncio.ensure_future(self._alarm.harm(self._plan))
        try:
            while not work.done():
                news = asyncio.ensure_future(self._news.wait())
                await asyncio.wait({work, alarm, news}, return_when=asyncio.FIRST_COMPLETED)
                news.cancel()
                if alarm.done() and not work.done():
                    return alarm.result()
                if not work.done() and self._stops(step, await self._read()):
                    return "interrupted"
            return work.result()
        finally:
            await _end(work)
            await _end(alarm)

    @staticmethod
    def _stops(step: Step, run: Run) -> bool:
        """A run that turned back stops at once; a held one at a step that changes nothing, else after the step."""
        return run.turned_back is not None or (run.held is not None and step.inverse() is None)

    async def _ensure(self, step: Step, moment: Moment, tries: int) -> StepFailed | None:
        """Bring a step's effect about, looking first; try again on trouble that may pass."""
        pause_s = FIRST_PAUSE_S
        for attempt in range(1, tries + 1):
            try:
                failure = await self._attempt(step, moment)
            except Abandon:
                raise
            except Exception as trouble:  # noqa: BLE001  whatever a driver meets must end in a retry or in going back
                await moment.note({"trouble": repr(trouble)[:500], "attempt": attempt})
                if attempt == tries:
                    return _give_up(step, trouble)
            else:
                if failure is None or not moment.backward or attempt == tries:
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

        return Moment(run=self._id, position=position, started_at=started_at, backward=backward, note=note)

    async def _append(self, fact: Fact, state: State | None = None) -> Run:
        run = await self._read()
        await self._journal.append(self._id, fact, state or run.state)
        return await self._read()

    async def _read(self) -> Run:
        async with self._reading:
            self._news.clear()
            after = self._entries[-1].position if self._entries else 0
            self._entries.extend(await self._journal.entries(self._id, after))
            return fold(self._entries)


def after_failure(plan: Plan, position: int, failure: StepFailed) -> tuple[Fact, ...]:
    """Return what follows from a step that failed: behind the gate nothing was done; else as the plan says."""
    code, text, hint = failure.code, failure.text, failure.hint
    if plan.gate is not None and position >= plan.gate:
        return (Withheld(plan.gate, code, text, hint),)
    changes_nothing = plan.steps[position].inverse() is None
    match plan.on_failure:
        case "take back":
            return (TurnedBack(code, text, hint),)
        case "go on" if changes_nothing:
            return (Noted(position, {"went_on": code, "text": text}), Finished(position))
        case _:
            return (Held(f"{code}: {text}"),)


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
        with suppress(asyncio.CancelledError):
            await task
