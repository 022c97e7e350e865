"""Carries out the steps of this room, by the port alone: real processes or simulated ones."""

import asyncio
from collections.abc import Mapping

from hitless.kit.errors import HitlessError
from hitless.kit.together import together
from hitless.plan.instances import InstanceId
from hitless.plan.ports import Clock, Moment, StepFailed
from hitless.plan.step import Step
from hitless.runtime import rules
from hitless.runtime.ports import Processes
from hitless.runtime.steps import Check, Launch, Start, Stop

LOOK_AGAIN_S = 0.025
TAIL_LINES = 20


class RuntimeDriver:
    """Implements `hitless.plan.ports.Driver` for Start, Stop and Check."""

    def __init__(self, processes: Processes, clock: Clock) -> None:
        self._processes = processes
        self._clock = clock
        self._returning = asyncio.Lock()  # an instance does not return while it is being retired

    async def done(self, step: Step, moment: Moment) -> bool:
        """Tell from the processes themselves whether the effect of the step is in force."""
        match step:
            case Start():
                return all(await asyncio.gather(*(self._serves(each, step.launch) for each in step.instances)))
            case Stop():
                return all([await self._leaves(each, step) for each in step.instances])
            case _:
                return False  # a check looks; it has no effect that could be seen

    async def do(self, step: Step, moment: Moment) -> None:
        """Bring the effect about. Raises StepFailed with the last lines of the log."""
        match step:
            case Start():
                await self._start(step)
            case Stop():
                await together(*(self._stop(each, step, moment) for each in step.instances))
            case Check():
                await self._check(step)
            case _:
                raise StepFailed("unknown-step", f"{step.describe()}: this is no step of processes")

    async def retire_overdue(self) -> list[InstanceId]:
        """Stop the instances whose time of instant return is over; returns them. To be called every few seconds."""
        overdue = []
        for instance in await self._processes.instances():
            async with self._returning:
                state = await self._processes.state(instance)
                if state is not None and state.retire_at is not None and state.retire_at <= self._clock.now():
                    await self._processes.stop(instance, state.launch.grace_s)
                    overdue.append(instance)
        return overdue

    async def _serves(self, instance: InstanceId, launch: Launch) -> bool:
        state = await self._processes.state(instance)
        if state is None or state.launch != launch or state.retire_at is not None:
            return False
        if state.state in ("stopping", "stopped"):  # it was asked to end and may still answer for a while
            return False
        return await self._processes.ready(instance)

    async def _leaves(self, instance: InstanceId, step: Stop) -> bool:
        state = await self._processes.state(instance)
        if state is None or state.launch != step.launch:
            return True
        return step.keep_s > 0 and state.retire_at is not None

    async def _start(self, step: Start) -> None:
        before = {each: await self._make_room(each, step.launch) for each in step.instances}
        async with self._returning:
            await together(*(self._launch(each, step.launch) for each in step.instances))
        await self._await_ready(before, step.launch)

    async def _launch(self, instance: InstanceId, launch: Launch) -> None:
        try:
            await self._processes.start(instance, launch)
        except HitlessError as error:
            if error.code != "already-runs":
                raise
            raise StepFailed(error.code, error.text, error.hint) from error

    async def _make_room(self, instance: InstanceId, launch: Launch) -> int:
        """Stop another version that is only kept for an instant return; return the restarts counted so far."""
        state = await self._processes.state(instance)
        if state is None:
            return 0
        if state.launch != launch and state.retire_at is not None:
            await self._processes.stop(instance, state.launch.grace_s)
            return 0
        return state.restarts

    async def _await_ready(self, restarts: Mapping[InstanceId, int], launch: Launch) -> None:
        deadline = self._clock.now() + launch.ready_timeout_s
        waiting = list(restarts)
        while True:
            ready = await asyncio.gather(*(self._processes.ready(each) for each in waiting))
            waiting = [each for each, yes in zip(waiting, ready, strict=True) if not yes]
            if not waiting:
                return
            for each in waiting:
                await self._fail_if_crashing(each, launch, restarts[each])
            if self._clock.now() >= deadline:
                raise await self._never_ready(waiting[0], launch)
            await self._clock.sleep(LOOK_AGAIN_S)

    async def _fail_if_crashing(self, instance: InstanceId, launch: Launch, restarts_before: int) -> None:
        state = await self._processes.state(instance)
        if state is None or not rules.crashes(state, restarts_before):
            return
        times = f"{instance} ended {state.restarts - restarts_before} times before it was ready"
        text = f"{launch.service} {launch.version}: {times}, last with {state.last_exit}"
        raise StepFailed("version-crashes", text, await self._tail(instance))

    async def _never_ready(self, instance: InstanceId, launch: Launch) -> StepFailed:
        what = f"GET {launch.ready} of {instance} did not answer 200 within {launch.ready_timeout_s:g} s"
        return StepFailed("never-ready", f"{launch.service} {launch.version}: {what}", await self._tail(instance))

    async def _tail(self, instance: InstanceId) -> str:
        tail = await self._processes.log_tail(instance, TAIL_LINES)
        return f"its last lines:\n{tail}" if tail else "it wrote nothing to its log"

    async def _stop(self, instance: InstanceId, step: Stop, moment: Moment) -> None:
        if await self._leaves(instance, step):
            return
        if step.keep_s > 0:
            await self._processes.retire(instance, moment.started_at + step.keep_s)
        else:
            await self._processes.stop(instance, step.launch.grace_s)

    async def _check(self, step: Check) -> None:
        of_version = (step.service, step.slot)
        there = [each for each in await self._processes.instances() if (each.service, each.slot) == of_version]
        if not there:
            raise StepFailed("no-instance", f"no instance of {step.service} runs in slot {step.slot} to be checked")
        checked = await self._processes.check(there[0], step.command, step.cwd, step.timeout_s)
        if checked.code == 0:
            return
        how = f"ended with {checked.code}" if checked.code is not None else f"was not over after {step.timeout_s:g} s"
        tail = "\n".join(checked.output.splitlines()[-TAIL_LINES:])
        raise StepFailed("check-failed", f"the check of {step.service} {how}", f"its last lines:\n{tail}")
