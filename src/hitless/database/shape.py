"""The shape that the base tables had when a version came into force, and what was changed since behind its back."""

from collections.abc import Iterator
from dataclasses import asdict

from psycopg.types.json import Jsonb

from hitless.database import reading
from hitless.database.catalogue import Catalogue, Table
from hitless.database.names import quoted
from hitless.database.postgres import Target
from hitless.plan.document import decode


async def remember(target: Target, version: str) -> None:
    """Write down the shape of all tables for a version in force."""
    shape = Jsonb(asdict(await reading.catalogue(target)))
    await target.rows(
        "UPDATE hitless.schema_change SET shape = %s WHERE space = current_schema() AND version = %s RETURNING 1",
        shape,
        version,
    )


async def changed(target: Target, version: str, base: Catalogue) -> list[str]:
    """Name what is different from the shape written down; empty where none was."""
    found = await target.rows(
        "SELECT shape FROM hitless.schema_change WHERE space = current_schema() AND version = %s", version
    )
    if not found or found[0]["shape"] is None:
        return []
    return list(compared(decode(Catalogue, found[0]["shape"]), base))


def compared(before: Catalogue, now: Catalogue) -> Iterator[str]:
    """Yield what is different in tables that are there before and now, in words."""
    for name in sorted(before.tables.keys() & now.tables.keys()):
        yield from _table(quoted(name), before.tables[name], now.tables[name])


def _table(name: str, before: Table, now: Table) -> Iterator[str]:
    for each in sorted(before.columns.keys() & now.columns.keys()):
        one, other = before.columns[each], now.columns[each]
        column = f"{name}.{quoted(each)}"
        if one.type != other.type:
            yield f"{column} was {one.type} and is {other.type}"
        if one.nullable != other.nullable:
            yield f"{column} {'may be NULL now' if other.nullable else 'must not be NULL now'}"
        if one.default != other.default:
            yield f"the default of {column} was {one.default} and is {other.default}"
    if before.key != now.key:
        yield f"the primary key of {name} was {before.key} and is {now.key}"
    yield from _parts(name, before, now)


def _parts(name: str, before: Table, now: Table) -> Iterator[str]:
    parts = (
        ("index", {each.name: each.definition for each in before.indexes}, {e.name: e.definition for e in now.indexes}),
        (
            "constraint",
            {each.name: each.definition for each in before.constraints},
            {each.name: each.definition for each in now.constraints},
        ),
    )
    for kind, old, new in parts:
        for each in sorted(old.keys() | new.keys()):
            if each not in new:
                yield f"{kind} {quoted(each)} of {name} is gone"
            elif each not in old:
                yield f"{kind} {quoted(each)} of {name} is new"
            elif old[each] != new[each]:
                yield f"{kind} {quoted(each)} of {name} was {old[each]} and is {new[each]}"
