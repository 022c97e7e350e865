"""Looks at the databases of a change and rehearses it, so that the plan can say what will happen to them."""

from dataclasses import dataclass, field

from hitless.app.databases import Databases
from hitless.app.facts import Facts
from hitless.app.plan_database import DatabasePart, Selection
from hitless.app.rehearsals import Rehearsals
from hitless.app.schema_choice import SchemaChoice, looked_at
from hitless.plan.change import Change
from hitless.plan.system import System
from hitless.runtime.steps import Launch


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabasesOfChange:
    """What was seen of the databases of one change."""

    part: DatabasePart
    schemas: SchemaChoice
    live: dict[str, frozenset[str]] = field(default_factory=dict)  # database -> schema versions that sessions use now


async def seen(
    change: Change, system: System, databases: Databases, facts: Facts, rehearsals: Rehearsals
) -> DatabasesOfChange:
    """Look at every database that the change needs. Raises HitlessError `database-down`, InvalidInput for a file."""
    looked = await databases.look(sorted(looked_at(change, system)))
    selections = {
        name: Selection(name=name, wanted=change.database[name], now=now, folder=databases.migrations(name))
        for name, now in looked.items()
        if name in change.database
    }
    for each in selections.values():
        for migration in each.chosen:
            migration.read()
    schemas = SchemaChoice(
        newest={name: each.version for name, each in selections.items() if each.chosen},
        there={name: now.versions for name, now in looked.items()},
    )
    rehearsed = {
        name: await rehearsals.of(each, databases, moved_as_it_is=_moved_as_it_is(name, change, system))
        for name, each in selections.items()
        if each.chosen and not each.against()
    }
    part = DatabasePart(
        system=system,
        change=change,
        selections=selections,
        rehearsed=rehearsed,
        services=facts.services,
        schemas=schemas,
    )
    live = {name: frozenset(now.versions) for name, now in looked.items()}
    for launch in (there.launch for now in facts.services.values() for there in now.slots.values()):
        if (used := schema_of(launch)) is not None and used[0] not in looked:
            live[used[0]] = live.get(used[0], frozenset()) | {used[1]}
    return DatabasesOfChange(part=part, schemas=schemas, live=live)


def _moved_as_it_is(database: str, change: Change, system: System) -> bool:
    """Whether everything that uses a database meets its new version with the code that runs now."""
    users = [change.services.get(name) for name, section in system.services.items() if section.database == database]
    return bool(users) and all(each is not None and each.restart and each.to is None for each in users)


def schema_of(launch: Launch) -> tuple[str, str] | None:
    """Return the database and the schema version that a launch uses; None: no database, or its tables as they are."""
    return None if launch.database is None or launch.schema is None else (launch.database, launch.schema)
