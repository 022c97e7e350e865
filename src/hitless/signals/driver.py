"""Carries out the steps of this room, and watches for plain harm throughout a run; by the ports alone."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from hitless.plan.instances import InstanceId, Slot
from hitless.plan.plan import Plan
from hitless.plan.ports import Clock, Moment, StepFailed
from hitless.plan.step import Step
from hitless.signals.ending import Decision, GoBack, GoOn, Stay
from hitless.signals.following import Follower, following
from hitless.signals.harm import CRASHES_CODE, Harm
from hitless.signals.measuring import Measuring, measuring
from hitless.signals.metrics import Counters, Source
from hitless.signals.ports import Evidence, Restarts, Tests, Ticks
from hitless.signals.steps import Watch
from hitless.signals.watching import Watching

LOOK_AGAIN_S = 0.25
RENEW_EVERY_S = 5.0  # the recorder is told again what is tested: it may have been started anew
KEEP_EVERY_S = 2.0  # what came since is read again from the recorder
HELD_LIMIT = 64
FIRST_TOLD_S = 15.0
LONGEST_TOLD_S = 600.0

LastWords = Callable[[str, Slot], Awaitable[str]]  # service and slot -> the end of the log of what crashed there


class SignalsDriver:
    """Implements `hitless.plan.ports.Driver` for Watch, and the engine's Alarm."""

    def __init__(
        self,
        ticks: Ticks,
        restarts: Restarts,
        clock: Clock,
        evidence: Evidence | None = None,
        last_words: LastWords | None = None,
        *,
        sources: Mapping[Source, Counters] | None = None,
        tests: Tests | None = None,
    ) -> None:
        """`evidence`: where a test is kept; without it, it lives as long as this driver.

        `sources`: who measures the counters of others. `tests`: who is told that a test begins.
        """
        self._last_words = last_words
        self._ticks, self._restarts, self._clock = ticks, restarts, clock
        self._evidence: Evidence = evidence or HeldEvidence()
        self._sources = sources or {}
        self._tests = tests
        self._trouble = ""  # why nobody can say how often instances ended
        self._being_watched: set[tuple[str, Slot]] = set()  # by a step, which goes back by itself and notes why

    async def done(self, step: Step, moment: Moment) -> bool:
        """A watch has no effect that could be seen."""
        return False

    async def do(self, step: Step, moment: Moment) -> None:
        """Watch until the change may go on. Raises StepFailed if it must go back.

        After a kill it goes on with the same test, from the second after the last one that was kept.
        """
        if not isinstance(step, Watch):
            raise StepFailed("unknown-step", f"{step.describe()}: this is no step of signals")
        arm = (step.service, step.canary)
        self._being_watched.add(arm)
        try:
            await self._do(step, moment)
        finally:  # not before its verdict is written: the alarm would end the step and take the run back without one
            self._being_watched.discard(arm)

    async def _do(self, step: Watch, moment: Moment) -> None:
        watching = await self._watching(step, moment)
        async with (
            following(self._ticks, self._clock, watching.since) as follower,
            measuring(step, self._sources, self._clock, watching.measured_until) as measured,
        ):
            decision = await self._watch(watching, follower, measured, moment)
        failure = decision.failure if isinstance(decision, GoBack) else None
        if failure is not None or not step.compares:  # a further step of the run goes on with the same users
            await self._end_test(step, moment)
        await moment.note(watching.numbers(failure))
        if failure is not None:
            raise await self._telling(failure, step.service, step.canary)

    async def _watching(self, step: Watch, moment: Moment) -> Watching:
        await self._begin_test(step, moment)
        watching = Watching(step, moment.started_at, moment.position, moment.resumed_at)
        if (kept := await self._evidence.load(moment.run, step.service)) is not None:
            try:
                watching.restore(kept)
            except ValueError as error:  # of another release of hitless: what the recorder remembers is counted again
                await moment.note({"text": f"{step.service}: the evidence so far cannot be read ({error})"})
                return Watching(step, moment.started_at, moment.position, moment.resumed_at)
        return watching

    async def known(self, step: Watch, moment: Moment) -> dict[str, Any] | None:
        """Return what is known by now in a watch that is under way, as it was kept last; None: nothing is yet.

        The keys are those of its verdicts; `until` is the end of the last second that was counted.
        """
        kept = await self._evidence.load(moment.run, step.service)
        watching = Watching(step, moment.started_at, moment.position, moment.resumed_at)
        if kept is None:
            return None
        with suppress(ValueError):
            watching.restore(kept)
        seen = watching.intact_s + watching.lost_s
        return {**watching.numbers(), "until": watching.next_at} if seen else None

    async def _begin_test(self, step: Watch, moment: Moment) -> None:
        if self._tests is not None and step.compares:
            with suppress(OSError):  # a recorder that is away remembers nobody when it is back, and is told again
                await self._tests.begin(step.service, moment.run, step.conversion)

    async def _end_test(self, step: Watch, moment: Moment) -> None:
        if self._tests is not None:
            with suppress(OSError):  # then it ends by itself
                await self._tests.end(step.service, moment.run)

    async def harm(self, plan: Plan) -> StepFailed:
        """Return only when a new version of this plan plainly does harm: from now on, and in its own slot."""
        watched = [
            Harm(service=service, slot=slot, crashes=crashes)
            for service, slot, crashes in sorted(
                {(step.service, step.canary, step.crashes) for step in plan.steps if isinstance(step, Watch)}
            )
        ]
        if not watched:
            await asyncio.Event().wait()
        async with following(self._ticks, self._clock, self._clock.now()) as follower:
            while True:
                for second in follower.take():
                    for harm in watched:
                        harm.count(second)
                restarts = await self._count_ends()
                for harm in watched:
                    harm.restarted(restarts)
                    if harm.reason is not None and (harm.service, harm.slot) not in self._being_watched:
                        return await self._telling(harm.reason, harm.service, harm.slot)
                await self._clock.sleep(LOOK_AGAIN_S)

    async def _telling(self, failure: StepFailed, service: str, slot: Slot) -> StepFailed:
        """Add the last lines of the log to a crash: they say more than its count."""
        if failure.code != CRASHES_CODE or self._last_words is None:
            return failure
        words = await self._last_words(service, slot)
        return StepFailed(failure.code, failure.text, f"its last lines:\n{words}") if words else failure

    async def _count_ends(self) -> Mapping[InstanceId, int] | None:
        """Return the restarts as they stand; None where nobody can say: the next look will tell."""
        try:
            counts = await self._restarts.restarts()
        except OSError as error:
            self._trouble = f"restarts of instances: {error}"
            return None
        self._trouble = ""
        return counts

    async def _watch(
        self, watching: Watching, follower: Follower, measured: Measuring, moment: Moment
    ) -> GoOn | GoBack:
        kept_at, told_at, telling = self._clock.now(), self._clock.now(), Telling(self._clock.now())
        while True:
            watching.restarted(await self._count_ends())
            for second in follower.take():
                watching.count(second, measured.take() if watching.is_new(second) else ())
            if self._clock.now() - told_at >= RENEW_EVERY_S:
                told_at = self._clock.now()
                await self._begin_test(watching.step, moment)
            if self._clock.now() - kept_at >= KEEP_EVERY_S:
                kept_at = self._clock.now()
                await self._keep(watching, moment)
            watching.trouble = follower.trouble or measured.trouble or self._trouble
            decision: Decision = watching.decide(self._clock.now(), settled=follower.settled)
            if not isinstance(decision, Stay):
                await self._keep(watching, moment)
                return decision
            if telling.is_due(self._clock.now(), decision, watching.finding, trouble=bool(watching.trouble)):
                await moment.note(watching.numbers())
            await self._clock.sleep(LOOK_AGAIN_S)

    async def _keep(self, watching: Watching, moment: Moment) -> None:
        if watching.step.compares or watching.step.loads:
            await self._evidence.keep(moment.run, watching.step.service, watching.dump())


class Telling:
    """When a watch that goes on is told of: after pauses that double, and whenever what it waits for changes."""

    def __init__(self, now: float) -> None:
        self._pause_s = FIRST_TOLD_S
        self._next = now + FIRST_TOLD_S
        self._held: tuple[object, ...] = ()

    def is_due(self, now: float, stay: Stay, finding: str, *, trouble: bool) -> bool:
        """Tell whether to note how it stands now."""
        if stay.holds:
            told, self._held = self._held, (finding, stay.needs, trouble)
            return told != self._held
        if now < self._next:
            return False
        self._pause_s = min(self._pause_s * 2, LONGEST_TOLD_S)
        self._next = now + self._pause_s
        return True


class HeldEvidence:
    """Implements `hitless.signals.ports.Evidence` in memory: for a world that nobody kills."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], bytes] = {}

    async def load(self, run: str, service: str) -> bytes | None:
        """Return what was kept last."""
        return self._held.get((run, service))

    async def keep(self, run: str, service: str, state: bytes) -> None:
        """Keep it as long as this object lives, up to a bound."""
        self._held.pop((run, service), None)
        if len(self._held) >= HELD_LIMIT:
            del self._held[next(iter(self._held))]
        self._held[run, service] = state
