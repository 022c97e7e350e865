"""A stand-in for the database room: the same steps with the same answers, on a database in memory.

The room itself is tested on a real PostgreSQL; what is simulated here is what the order of steps depends on.
"""

import asyncio

from hitless.app.database_planning import schema_of
from hitless.app.simulation.backing import Schema
from hitless.app.simulation.effects import Schemed
from hitless.app.simulation.hands import Hands
from hitless.app.simulation.world import SimulatedWorld
from hitless.database.steps import Backfill, Contract, Expand, Switch, Verify, Withdraw
from hitless.kit.errors import Refused
from hitless.plan.ports import Moment, StepFailed
from hitless.plan.step import Step

BATCH_S = 0.2
BATCHES = 3
SchemaStep = Expand | Backfill | Verify | Switch | Contract | Withdraw


class SimulatedDatabases:
    """Implements `hitless.plan.ports.Driver` for the steps of databases."""

    def __init__(self, world: SimulatedWorld, hands: Hands) -> None:
        self._world, self._hands = world, hands

    async def done(self, step: Step, moment: Moment) -> bool:
        """Tell whether the effect is in force."""
        await self._hands.look()
        step, schema = self._ours(step)
        there, phase = step.version in schema.versions, schema.phase
        alone = schema.versions == [step.version]
        match step:
            case Expand():
                return there
            case Withdraw():
                return not there
            case Backfill():
                return there and phase in ("backfilled", "verified", "contracted")
            case Verify():
                return alone or (phase == "verified" and not step.again)
            case Switch():
                return not there or schema.switched is step.on
            case Contract():
                return alone

    async def do(self, step: Step, moment: Moment) -> None:
        """Bring the effect about. Raises StepFailed, or Refused with nothing touched."""
        step, schema = self._ours(step)
        match step:
            case Expand():
                await self._reach(step, "expanded")
            case Withdraw():
                await self._reach(step, "withdrawn")
            case Backfill():
                await self._work()
                await self._reach(step, "backfilled")
            case Verify():
                await self._work()
                if schema.differs:
                    raise StepFailed("rows-differ", f"{schema.differs} rows differ")
                await self._reach(step, "verified")
            case Switch():
                await self._switch(step, schema)
            case Contract():
                if users := self._users_of_old(step, schema):
                    raise Refused("contract-too-early", f"sessions still use the old version: {users}")
                await self._reach(step, "contracted")

    async def _work(self) -> None:
        for _ in range(BATCHES):
            await asyncio.sleep(BATCH_S)
            await self._hands.look()

    async def _switch(self, step: Switch, schema: Schema) -> None:
        def effect() -> None:
            self._world.effect(Schemed(step.database, step.version, "switched"))
            schema.switched = step.on

        await self._hands.touch("switched", effect, fenced=True)

    async def _reach(self, step: SchemaStep, phase: str) -> None:
        schema = self._world.schemas[step.database]

        def effect() -> None:
            self._world.effect(Schemed(step.database, step.version, phase))
            schema.reach(step.version, phase)

        await self._hands.touch(phase, effect, fenced=True)

    def _users_of_old(self, step: SchemaStep, schema: Schema) -> int:
        old = {*schema.versions} - {step.version}
        used = [schema_of(life.launch) for life in self._world.machine.lives.values() if life.pid is not None]
        return sum(each is not None and each[0] == step.database and each[1] in old for each in used)

    def _ours(self, step: Step) -> tuple[SchemaStep, Schema]:
        if not isinstance(step, SchemaStep):
            raise StepFailed("unknown-step", f"{step.describe()}: this is no step on a database")
        return step, self._world.schemas[step.database]
