"""Carries out the steps of the room; both doors are safe to call again after a kill at any point."""

from collections.abc import Awaitable, Callable

from hitless.database import expanding, filling, ledger, phases, reading, shape, verifying
from hitless.database.comparing import Differing
from hitless.database.compiled import Compiled
from hitless.database.migration import Migration
from hitless.database.names import schema_of
from hitless.database.observation import drifted
from hitless.database.postgres import Guard, Target, nobody_else
from hitless.database.reading import Session
from hitless.database.rolling import Rolled, look_again, roll, rolled
from hitless.database.settling import settled
from hitless.database.steps import Backfill, Contract, Expand, Switch, Verify, Withdraw
from hitless.database.throttling import P99, Throttler
from hitless.database.unmappable import Unmappable
from hitless.database.unmappable import unmappable as listed
from hitless.database.views import create_schema, create_views
from hitless.kit.errors import Refused
from hitless.plan.ports import Moment, StepFailed
from hitless.plan.step import Step

UrlOf = Callable[[str], str]  # the URL of a database by its name; may hold a secret, so it is asked for each time

SchemaStep = Expand | Withdraw | Backfill | Verify | Switch | Contract
ROLLING_LOCK_MS = 1000  # a table that somebody has for longer is compared in a later round
Throttle = Callable[[], Awaitable[None]]  # returns when the next batch may run
Accepted = Callable[[str, str], Awaitable[int]]  # how many rows of a run may be given up that a side (old, new) wrote


async def unthrottled() -> None:
    """Let the next batch run at once."""


async def nobody_said(_: str) -> str:
    """Name nobody."""
    return ""


async def nothing_accepted(_: str, __: str) -> int:
    """Give up no row."""
    return 0


Person = Callable[[str], Awaitable[str]]  # who asked last for something of a run; empty: nobody said


class DatabaseDriver:
    """Carries out Expand, Backfill, Verify, Switch, Contract and Withdraw."""

    def __init__(
        self,
        url_of: UrlOf,
        throttle: Throttle = unthrottled,
        accepted: Accepted = nothing_accepted,
        guard: Guard = nobody_else,
        p99: P99 | None = None,
        person: Person = nobody_said,
    ) -> None:
        """`guard` raises Abandon once a newer controller is there: in each change of the schema, before each batch."""
        self._url_of = url_of
        self._throttle = throttle
        self._accepted = accepted
        self._guard = guard
        self._p99 = p99
        self._person = person

    async def done(self, step: Step, moment: Moment) -> bool:
        """Tell from the database itself whether the effect of the step is in force."""
        step = _ours(step)
        async with Target.open(self._url_of(step.database)) as target:
            await target.set_up()
            change = await ledger.change(target, step.version)
        state = change.state if change is not None else "none"
        match step:
            case Expand():
                return change is not None
            case Withdraw():
                return change is None
            case Backfill():
                return state in ("backfilled", "verified", "current", "past")
            case Verify():
                return state in ("current", "past") or (state == "verified" and not step.again)
            case Switch():
                return change is None or change.switched is step.on or state in ("current", "past")
            case Contract():
                return state in ("current", "past")

    async def do(self, step: Step, moment: Moment) -> None:
        """Bring the effect about. Raises StepFailed; Refused with nothing touched."""
        step = _ours(step)
        async with Target.open(self._url_of(step.database), self._guard) as target:
            if isinstance(step, Expand | Withdraw):  # what they write down says for whom
                await target.rows("SELECT set_config('hitless.person', %s, false)", await self._person(moment.run))
            match step:
                case Expand():
                    await expanding.expand(target, step.version, step.migrations)
                case Withdraw():
                    await target.set_up()
                    accepted = await self._accepted(moment.run, "new")
                    await phases.withdraw(target, step.version, max(step.accept_loss, accepted))
                case Backfill():
                    compiled = await _change(target, step.version)
                    throttler = Throttler(target, moment.note, self._p99)

                    async def let_through() -> float:
                        await self._before_batch()
                        return await throttler()

                    await filling.fill(target, compiled, let_through, moment.note)
                case Verify():
                    await verifying.verify(target, await _change(target, step.version), moment.note)
                case Switch():
                    await phases.switched(target, step.version, on=step.on)
                case Contract():
                    compiled = await _change(target, step.version, "verified")
                    await verifying.verify(target, compiled, moment.note)
                    accepted = await self._accepted(moment.run, "old")
                    await phases.contract(target, compiled, first=step.first, accept_loss=accepted)
                    await shape.remember(target, step.version)

    async def _before_batch(self) -> None:
        self._guard()
        await self._throttle()


def _ours(step: Step) -> SchemaStep:
    if isinstance(step, SchemaStep):
        return step
    raise StepFailed("unknown-step", f"{step.kind} is no step on a database")


async def _change(target: Target, version: str, *states: str) -> Compiled:
    await target.set_up()
    compiled = await phases.recorded(target, version, *(states or ("expanded", "backfilled", "verified")))
    if compiled is None:
        raise StepFailed(
            "not-expanded", f"schema version {version} is not there, or not that far", "apply it from the start"
        )
    return compiled


async def baseline(url: str, version: str) -> None:
    """Take the tables as they are for a schema version of their own. Raises Refused if a version is in force."""
    async with Target.open(url) as target:
        await target.set_up()

        async def work() -> None:
            if await ledger.change(target, version) is not None:
                return
            if await target.rows(
                "SELECT 1 FROM hitless.schema_change WHERE space = current_schema() AND state <> 'past'"
            ):
                raise Refused("baseline-there", "a schema version is in force already", "write a migration instead")
            schema, grants = schema_of(version, target.space), await reading.grants(target)
            views = create_views(schema, await reading.catalogue(target), grants=grants)
            await target.run(*create_schema(schema, grants), *views)
            await target.rows(
                "INSERT INTO hitless.schema_change (version, state) VALUES (%s, 'current') RETURNING 1", version
            )

        await target.politely((), work)
        await shape.remember(target, version)


async def current_version(url: str) -> str | None:
    """Return the schema version in force; None where no change has been contracted and no baseline taken."""
    async with Target.open(url) as target:
        await target.set_up()
        found = await target.rows(
            "SELECT version FROM hitless.schema_change WHERE space = current_schema() AND state = 'current'"
        )
    return str(found[0]["version"]) if found else None


async def sessions(url: str, version: str) -> list[Session]:
    """Return who uses a schema version."""
    async with Target.open(url) as target:
        found = await reading.sessions(target)
        return [each for each in found if await phases.speaks(target, each, version)]


async def lost(url: str, version: str, side: str) -> list[Unmappable]:
    """Return the rows that a side (old, new) wrote last and the other cannot hold: what giving that side up loses."""
    async with Target.open(url) as target:
        await target.set_up()
        change = await ledger.change(target, version)
        if change is None or change.compiled is None or change.state in ("current", "past"):
            return []
        return [each for each in await listed(target, change.compiled) if each.side == side]


async def drift(url: str) -> list[str]:
    """Name what the views of the version in force no longer find alike in the base tables; empty where all is well."""
    version = await current_version(url)
    if version is None:
        return []
    async with Target.open(url) as target:
        base = await reading.catalogue(target)
        views = await reading.views(target, version)
        return sorted([*drifted(version, base, views), *await shape.changed(target, version, base)])


async def history(url: str) -> list[Migration]:
    """Return the migrations that ran and are in force, in the order in which they ran."""
    async with Target.open(url) as target:
        await target.set_up()
        rows = await target.rows(
            "SELECT m.name, m.text FROM hitless.migration m JOIN hitless.schema_change s USING (space, version) "
            "WHERE space = current_schema() AND m.direction = 'up' ORDER BY m.at"
        )
    return [Migration(name=row["name"], text=row["text"]) for row in rows]


async def switched(url: str, version: str, *, on: bool) -> None:
    """Say that code speaks a version that is not contracted (or, going back, that it no longer does).

    From then on a row that the old side cannot hold is listed; before, its write is refused.
    """
    async with Target.open(url) as target:
        await target.set_up()
        await phases.switched(target, version, on=on)


async def unmappable(url: str, version: str) -> list[Unmappable]:
    """Return the rows of an open change that one side cannot hold, by key.

    `rollback` gives up what side `new` wrote, `contract` what side `old` wrote.
    """
    async with Target.open(url) as target:
        await target.set_up()
        compiled = await phases.recorded(target, version, "expanded", "backfilled", "verified")
        return await listed(target, compiled) if compiled is not None else []


async def rolling(url: str, version: str, budget_s: float = 0.2) -> Rolled | None:
    """Compare some more rows of a change that is switched, for about `budget_s` seconds; None: it is not, or no more.

    Also, from expand on, rows are brought in step that a session left to another one, which gave up.

    Raises HitlessError `database-down`.
    """
    async with Target.open(url) as target:
        await target.set_up()
        change = await ledger.change(target, version)
        if change is None or change.compiled is None or change.state not in ("expanded", "backfilled", "verified"):
            return None
        await target.rows("SELECT set_config('lock_timeout', %s, false)", f"{ROLLING_LOCK_MS}ms")
        await settled(target, version, change.compiled.shadows)
        if change.state != "verified" or not change.switched:
            return None
        await roll(target, change.compiled, budget_s)
        return await rolled(target, version)


async def still_differing(url: str, version: str, budget_s: float = 1.0) -> Differing:
    """Look again at the rows of a change that differed, for about `budget_s` seconds; returns those that still do.

    What there was no time for is as it was at its last look; a range that takes more than a second alone, too.
    """
    async with Target.open(url) as target:
        await target.set_up()
        compiled = await phases.recorded(target, version, "verified")
        if compiled is None:
            return Differing()
        await look_again(target, compiled, budget_s)
        return (await rolled(target, version)).differing


async def rolled_so_far(url: str, version: str) -> Rolled:
    """Return how far rolling verification of a change has come, without comparing anything."""
    async with Target.open(url) as target:
        await target.set_up()
        return await rolled(target, version)
