"""Carries out the steps of this room: a stage is in force when all connected clients have it."""

from hitless.flags.ports import Flags
from hitless.flags.steps import Stage
from hitless.kit.errors import Refused
from hitless.plan.ports import Clock, Moment, StepFailed
from hitless.plan.step import Step

LOOK_AGAIN_S = 0.05


class FlagsDriver:
    """Implements `hitless.plan.ports.Driver` for Stage."""

    def __init__(self, flags: Flags, clock: Clock) -> None:
        self._flags = flags
        self._clock = clock

    async def done(self, step: Step, moment: Moment) -> bool:
        """Tell whether the definition is served and every connected client has it."""
        match step:
            case Stage():
                served = await self._flags.definition(step.flag) == step.after
                return served and not await self._waiting()
            case _:
                return False

    async def do(self, step: Step, moment: Moment) -> None:
        """Serve the definition and wait for the clients.

        Raises StepFailed `flag-not-acknowledged` if one stays silent for too long, `flag-bucketing` if one would split
        the users in another way; on the way back both are only noted.
        """
        match step:
            case Stage():
                await self._stage(step, moment)
            case _:
                raise StepFailed("unknown-step", f"{step.describe()}: this is no step of flags")

    async def _stage(self, step: Stage, moment: Moment) -> None:
        if step.splits and not moment.backward:
            try:
                await self._flags.refuse_other_languages(step.flag)
            except Refused as refusal:
                raise StepFailed(refusal.code, refusal.text, refusal.hint) from None
        await self._flags.put(step.flag, step.after, f"run {moment.run}, step {moment.position}")
        until = self._clock.now() + step.acknowledged_within_s
        while (waiting := await self._waiting()) and self._clock.now() < until:
            await self._clock.sleep(LOOK_AGAIN_S)
        if not waiting:
            return
        await moment.note({"flag": step.flag, "not_acknowledged": list(waiting)})
        if not moment.backward:
            text = f"{len(waiting)} clients have not taken flag {step.flag} within {step.acknowledged_within_s:g} s"
            raise StepFailed("flag-not-acknowledged", f"{text}: {', '.join(waiting[:5])}", "hitless flags clients")

    async def _waiting(self) -> tuple[str, ...]:
        """Name the clients that have not what is served now; somebody else may have edited another flag meanwhile."""
        version = await self._flags.version()
        return tuple(client.name for client in await self._flags.clients() if client.version != version)
