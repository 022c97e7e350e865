"""Steps on databases whose services connect through a pooler: each schema version has a login role of its own."""

from contextlib import suppress

from hitless.app.databases import Databases
from hitless.database.driver import DatabaseDriver
from hitless.database.observation import look
from hitless.database.steps import Contract, Expand, Withdraw
from hitless.kit.errors import HitlessError
from hitless.plan.ports import Driver, Moment
from hitless.plan.step import Step


class WithLogins:
    """Carries out the steps of databases, and has a login role there for as long as its version lives."""

    def __init__(self, driver: DatabaseDriver, databases: Databases) -> None:
        self._driver: Driver = driver
        self._databases = databases

    async def done(self, step: Step, moment: Moment) -> bool:
        """Tell whether the effect is in force, with its login role."""
        done = await self._driver.done(step, moment)
        return done and (not isinstance(step, Expand) or self._databases.logged_in(step.database, step.version))

    async def do(self, step: Step, moment: Moment) -> None:
        """Bring the effect about. Raises what the room raises, and Refused `no-createrole` with nothing touched."""
        before = None
        if isinstance(step, Contract):
            before = (await look(self._databases.url(step.database))).current
        await self._driver.do(step, moment)
        match step:
            case Expand():
                await self._databases.log_in(step.database, step.version)
            case Withdraw():
                await self._leave(step.database, step.version)
            case Contract() if before is not None and before != step.version:
                await self._leave(step.database, before)
            case _:
                pass

    async def _leave(self, database: str, version: str) -> None:
        """A role that cannot be dropped now does no harm: its views are gone."""
        with suppress(HitlessError):
            await self._databases.log_out(database, version)
