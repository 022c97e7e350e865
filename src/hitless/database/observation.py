"""What a database looks like before anything is planned for it; reads only, and takes no lock that stops anybody."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from hitless.database import reading
from hitless.database.catalogue import Catalogue
from hitless.database.names import PUBLIC, quoted
from hitless.database.postgres import Target
from hitless.database.shape import changed

OPEN = ("expanded", "backfilled", "verified")

SERVER = """
SELECT current_setting('server_version_num')::int / 10000 AS major, current_setting('server_version') AS version,
       (pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool) AS read_only,
       to_regclass('hitless.schema_change') IS NOT NULL AS known,
       to_regclass('hitless.unmappable') IS NOT NULL AS records,
       (SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user) AS may_create_roles,
       (SELECT rolsuper OR rolcreatedb FROM pg_roles WHERE rolname = current_user) AS may_create_databases
"""
CHANGES = "SELECT version, state FROM hitless.schema_change WHERE space = current_schema()"
RAN = """
SELECT m.name, m.checksum FROM hitless.migration m JOIN hitless.schema_change s USING (space, version)
WHERE space = current_schema() AND m.direction = 'up' ORDER BY m.at
"""
SIZES = """
SELECT c.relname AS name, greatest(c.reltuples, 0)::bigint AS rows, pg_total_relation_size(c.oid) AS bytes
FROM pg_class c
WHERE c.relnamespace = quote_ident(current_schema())::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large a table is, as the server's statistics say."""

    rows: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseNow:
    """One database as it is."""

    major: int = 18
    server: str = ""
    read_only: bool = False
    current: str | None = None  # the schema version in force; None: nobody has taken a baseline, no migration ran
    open: str | None = None  # the schema version of a change that has been expanded and not contracted
    ran: Mapping[str, str] = field(default_factory=dict)  # migration -> checksum of its text, in the order they ran
    space: str = PUBLIC  # the schema of the base tables
    sizes: Mapping[str, Size] = field(default_factory=dict)  # base table -> size
    drift: tuple[str, ...] = ()
    may_create_roles: bool = True
    may_create_databases: bool = True

    @property
    def versions(self) -> tuple[str, ...]:
        """The schema versions that a session can use now, the newest last."""
        return tuple(each for each in (self.current, self.open) if each is not None)


async def look(url: str) -> DatabaseNow:
    """Return what is there. Raises HitlessError `database-down`."""
    async with Target.open(url) as target:
        (server,) = await target.rows(SERVER)
        changes = await target.rows(CHANGES) if server["known"] else []
        current = next((str(row["version"]) for row in changes if row["state"] == "current"), None)
        opened = next((str(row["version"]) for row in changes if row["state"] in OPEN), None)
        ran = await target.rows(RAN) if server["known"] else []
        sizes = await target.rows(SIZES)
        drift: tuple[str, ...] = ()
        if current is not None and opened is None:
            base = await reading.catalogue(target)
            drift = (
                *drifted(current, base, await reading.views(target, current)),
                *await changed(target, current, base),
            )
    return DatabaseNow(
        major=server["major"],
        server=server["version"],
        read_only=server["read_only"],
        current=current,
        open=opened,
        ran={str(row["name"]): str(row["checksum"]) for row in ran},
        space=target.space,
        sizes={str(row["name"]): Size(rows=row["rows"], bytes=row["bytes"]) for row in sizes},
        drift=drift,
        may_create_roles=server["may_create_roles"],
        may_create_databases=server["may_create_databases"],
    )


async def has_open_change(url: str) -> bool:
    """Tell whether a change has been expanded and not contracted. Raises HitlessError `database-down`."""
    async with Target.open(url) as target:
        (server,) = await target.rows(SERVER)
        return bool(server["known"]) and any(row["state"] in OPEN for row in await target.rows(CHANGES))


def drifted(version: str, base: Catalogue, views: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """Name what the views of the version in force no longer find alike in the base tables."""
    yield from sorted(f"table {quoted(name)} is in no view of {version}" for name in base.tables if name not in views)
    yield from sorted(f"view {quoted(name)} has no table of its name" for name in views if name not in base.tables)
    for name in sorted(views.keys() & base.tables.keys()):
        for column in sorted(base.tables[name].columns.keys() ^ set(views[name])):
            yield f"{quoted(name)}.{quoted(column)} is on one side only"
