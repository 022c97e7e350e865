"""Looks who still needs the old side of a database; contract is refused for it, asked for or done by itself."""

from contextlib import suppress

from hitless.app.observation import observe
from hitless.app.too_early import ServedSet, by_clients, by_flags, by_instances, by_rows, concerns_flags
from hitless.app.world import World
from hitless.database.driver import still_differing
from hitless.database.steps import Contract
from hitless.flags.bundle import DEFAULT
from hitless.flags.flagset import FlagSet
from hitless.flags.plain import plain
from hitless.kit.errors import HitlessError
from hitless.plan.ports import Driver, Moment
from hitless.plan.step import Step


class StillNeeded:
    """Looks at instances, flags and rows at the moment of use."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def refuse(self, step: Contract) -> None:
        """Raise Refused `contract-too-early` for the first that still needs the old side."""
        for refusal in by_instances(step, await observe(self._world)):
            raise refusal
        await self._refuse_flags(step)
        differing = await still_differing(self._world.databases.url(step.database), step.version)
        for refusal in by_rows(step, differing):
            raise refusal

    async def flags(self, database: str, version: str) -> tuple[str, ...]:
        """Say which flags would hold a contract of a schema version up, as they are now.

        Nothing where the flag server does not answer: a plan says what is known.
        """
        with suppress(HitlessError):
            step = Contract(database=database, version=version)
            return tuple(each.text for each in by_flags(step, await self._sets(), DEFAULT))
        return ()

    async def _refuse_flags(self, step: Contract) -> None:
        sets = await self._sets()
        if not concerns_flags(step, sets):
            return
        for refusal in by_flags(step, sets, DEFAULT):
            raise refusal
        version = await self._world.published.version()
        clients = await self._world.published.clients()
        for refusal in by_clients([each.name for each in clients if each.version != version]):
            raise refusal

    async def _sets(self) -> list[ServedSet]:
        published = self._world.published
        return [
            ServedSet(
                name=each.name,
                kept=FlagSet.parse(each.document, each.bucketing),
                served=FlagSet.parse(plain(each.document, published.groups, each.bucketing), each.bucketing),
            )
            for each in await published.definitions.sets()
        ]


class ContractLast:
    """The driver of databases, with a look before contract at who still needs what it takes away."""

    def __init__(self, driver: Driver, needed: StillNeeded) -> None:
        self._driver, self._needed = driver, needed

    async def done(self, step: Step, moment: Moment) -> bool:
        """Tell whether the effect is in force."""
        return await self._driver.done(step, moment)

    async def do(self, step: Step, moment: Moment) -> None:
        """Bring the effect about. Raises what the room raises; Refused `contract-too-early` with nothing touched."""
        if isinstance(step, Contract):
            await self._needed.refuse(step)
        await self._driver.do(step, moment)
