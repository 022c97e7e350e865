"""Carries out the steps of this room: a stage is in force when all connected clients have it."""

from hitless.flags.baking import Baking
from hitless.flags.ports import Flags, Users
from hitless.flags.steps import Bake, Stage
from hitless.kit.errors import Refused
from hitless.plan.ports import Clock, Moment, StepFailed
from hitless.plan.step import Step

LOOK_AGAIN_S = 0.05
LOOK_AT_USERS_S = 0.25


class FlagsDriver:
    """Implements `hitless.plan.ports.Driver` for Stage and Bake."""

    def __init__(self, flags: Flags, users: Users, clock: Clock) -> None:
        self._flags, self._users, self._clock = flags, users, clock

    async def done(self, step: Step, moment: Moment) -> bool:
        """Tell whether the definition is served and every connected client has it."""
        match step:
            case Stage():
                defined = await self._flags.definition(step.flag) == step.after
                return defined and await self._flags.served() and not await self._waiting()
            case _:
                return False

    async def do(self, step: Step, moment: Moment) -> None:
        """Serve the definition and wait for the clients.

        Raises StepFailed `flag-edited` if somebody edited the flag meanwhile, `flag-not-acknowledged` if a client stays
        silent for too long, `flag-bucketing` if one would split the users in another way; on the way back all of that
        is only noted. A bake raises `flag-worse` or `no-evidence`.
        """
        match step:
            case Stage():
                await self._stage(step, moment)
            case Bake():
                await self._bake(step, moment)
            case _:
                raise StepFailed("unknown-step", f"{step.describe()}: this is no step of flags")

    async def _stage(self, step: Stage, moment: Moment) -> None:
        if await self._flags.definition(step.flag) not in (step.before, step.after):
            if not moment.backward:
                text = f"flag {step.flag} was edited since the change was planned"
                raise StepFailed("flag-edited", text, f"see who did: hitless flags history {step.flag}")
            await moment.note({"flag": step.flag, "left_as_it_is": True})  # who killed it wants it killed
            return
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

    async def _bake(self, step: Bake, moment: Moment) -> None:
        baking = Baking(step, moment.started_at, moment.resumed_at)
        noted = False
        async for seconds in self._users.follow(baking.since, step.services):
            for second in seconds:
                baking.count(second)
            failure = baking.failure(self._clock.now())
            if failure is not None or baking.done(self._clock.now()):
                await moment.note(baking.numbers(failure))
                if failure is not None:
                    raise failure
                return
            if baking.holds(self._clock.now()) and not noted:
                noted = True
                await moment.note(baking.numbers(None))
            await self._clock.sleep(LOOK_AT_USERS_S)

    async def _waiting(self) -> tuple[str, ...]:
        """Name the clients that have not what is served now; somebody else may have edited another flag meanwhile."""
        version = await self._flags.version()
        return tuple(client.name for client in await self._flags.clients() if client.version != version)
