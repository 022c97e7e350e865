"""Carries out the steps of this room, by the port alone: a real gateway or a simulated one."""

import asyncio

from hitless.plan.instances import InstanceId
from hitless.plan.ports import Clock, Moment, StepFailed
from hitless.plan.step import Step
from hitless.traffic.ports import Gateway, Place, Ports
from hitless.traffic.steps import Admit, Drain, Shift

LOOK_AGAIN_S = 0.025


class TrafficDriver:
    """Implements `hitless.plan.ports.Driver` for Admit, Drain and Shift."""

    def __init__(self, gateway: Gateway, ports: Ports, clock: Clock) -> None:
        self._gateway = gateway
        self._ports = ports
        self._clock = clock

    async def done(self, step: Step, moment: Moment) -> bool:
        """Tell from the gateway itself whether the effect of the step is in force."""
        match step:
            case Admit():
                places = await self._gateway.places()
                wanted = [Place(port=await self._ports.port(each), state="ready") for each in step.instances]
                return [places.get(each) for each in step.instances] == wanted
            case Drain():
                return not set(step.instances) & set(await self._gateway.places())
            case Shift():
                return (await self._gateway.routings()).get(step.after.service) == step.after
            case _:
                return False

    async def do(self, step: Step, moment: Moment) -> None:
        """Bring the effect about; return only when it is in force. Raises StepFailed if an instance does not run."""
        match step:
            case Admit():
                for each in step.instances:
                    await self._gateway.admit(each, await self._ports.port(each))
            case Drain():
                await self._drain(step, moment)
            case Shift():
                await self._gateway.route(step.after)
            case _:
                raise StepFailed("unknown-step", f"{step.describe()}: this is no step of traffic")

    async def _drain(self, step: Drain, moment: Moment) -> None:
        places = await self._gateway.places()
        there = [each for each in step.instances if each in places]
        for each in there:
            await self._gateway.drain(each)
        left = await self._wait(there, step.drain_s)
        if left:
            await moment.note({"closed": left})
        for each in there:
            await self._gateway.remove(each)

    async def _wait(self, instances: list[InstanceId], drain_s: float | None) -> int:
        """Return what is still in flight when the time is over; 0 as soon as there is nothing.

        The time begins when the gateway has been told, not when the step did: a controller that was away in between
        must not close what has only just come in.
        """
        begun = self._clock.now()
        while True:
            left = sum(await asyncio.gather(*(self._gateway.in_flight(each) for each in instances)))
            if left == 0 or (drain_s is not None and self._clock.now() >= begun + drain_s):
                return left
            await self._clock.sleep(LOOK_AGAIN_S)
