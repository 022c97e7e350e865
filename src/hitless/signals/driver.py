"""Carries out the steps of this room, and watches for plain harm throughout a run; by the ports alone."""

import asyncio
from typing import Any

from hitless.plan.instances import Slot
from hitless.plan.plan import Plan
from hitless.plan.ports import Clock, Moment, StepFailed
from hitless.plan.step import Step
from hitless.signals.following import Follower, following
from hitless.signals.harm import Harm
from hitless.signals.ports import Restarts, Ticks
from hitless.signals.steps import Watch
from hitless.signals.watching import Decision, GoBack, GoOn, Stay, Watching

LOOK_AGAIN_S = 0.25


class SignalsDriver:
    """Implements `hitless.plan.ports.Driver` for Watch, and the engine's Alarm."""

    def __init__(self, ticks: Ticks, restarts: Restarts, clock: Clock) -> None:
        self._ticks, self._restarts, self._clock = ticks, restarts, clock
        self._being_watched: set[tuple[str, Slot]] = set()  # by a step, which goes back by itself and notes why

    async def done(self, step: Step, moment: Moment) -> bool:
        """A watch has no effect that could be seen."""
        return False

    async def do(self, step: Step, moment: Moment) -> None:
        """Watch until the change may go on. Raises StepFailed if it must go back.

        Begins at `moment.started_at`, whoever asked first: after a kill the same seconds are counted again.
        """
        if not isinstance(step, Watch):
            raise StepFailed("unknown-step", f"{step.describe()}: this is no step of signals")
        watching = Watching(step, moment.started_at)
        arm = (step.service, step.canary)
        self._being_watched.add(arm)
        try:
            async with following(self._ticks, self._clock, watching.since) as follower:
                decision = await self._watch(watching, follower, moment)
        finally:
            self._being_watched.discard(arm)
        failure = decision.failure if isinstance(decision, GoBack) else None
        await moment.note(watching.numbers(failure))
        if failure is not None:
            raise failure

    async def harm(self, plan: Plan) -> StepFailed:
        """Return only when a new version of this plan plainly does harm: from now on, and in its own slot."""
        arms = sorted({(step.service, step.canary) for step in plan.steps if isinstance(step, Watch)})
        watched = [Harm(service=service, slot=slot) for service, slot in arms]
        if not watched:
            await asyncio.Event().wait()
        async with following(self._ticks, self._clock, self._clock.now()) as follower:
            while True:
                for second in follower.take():
                    for harm in watched:
                        harm.count(second)
                await self._count_crashes(watched)
                for harm in watched:
                    if harm.reason is not None and (harm.service, harm.slot) not in self._being_watched:
                        return harm.reason
                await self._clock.sleep(LOOK_AGAIN_S)

    async def _count_crashes(self, watched: list[Harm]) -> None:
        try:
            restarts = await self._restarts.restarts()
        except OSError:  # the next look will tell; an alarm that breaks would stop the run
            return
        for harm in watched:
            harm.restarted(restarts)

    async def _watch(self, watching: Watching, follower: Follower, moment: Moment) -> GoOn | GoBack:
        noted: tuple[object, ...] = ()
        while True:
            for second in follower.take():
                watching.count(second)
            watching.restarted(await self._restarts.restarts())
            decision: Decision = watching.decide(self._clock.now(), settled=follower.settled)
            if not isinstance(decision, Stay):
                return decision
            if decision.holds and noted != (now := (watching.finding, decision.needs, bool(follower.trouble))):
                noted = now
                await moment.note(_with_trouble(watching.numbers(), follower.trouble))
            await self._clock.sleep(LOOK_AGAIN_S)


def _with_trouble(numbers: dict[str, Any], trouble: str) -> dict[str, object]:
    return numbers | ({"source": trouble} if trouble else {})
