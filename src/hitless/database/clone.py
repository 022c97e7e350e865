"""An empty copy of a database in the same server, kept for the next time and renewed when the original has changed."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import quote, urlsplit, urlunsplit

from hitless.database.connecting import Row
from hitless.database.names import fitted, literal, quoted
from hitless.database.needed import Relation, unneeded
from hitless.database.postgres import Target
from hitless.database.urls import resolving

# Everything that has a shape, with its definition. What is ours alone (schema hitless) counts by its functions only.
SNAPSHOT = r"""
WITH spaces AS (SELECT oid, nspname AS name FROM pg_namespace
                WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'hitless')),
     foreign_to_us AS (SELECT objid FROM pg_depend WHERE deptype = 'e')
SELECT 'relation' AS kind, n.name || '.' || c.relname AS name,
       c.relkind::text || coalesce(' of ' || pg_get_expr(c.relpartbound, c.oid), '')
         || CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) ELSE '' END AS definition
FROM pg_class c JOIN spaces n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S') AND c.oid NOT IN (SELECT objid FROM foreign_to_us)
UNION ALL
SELECT 'column', n.name || '.' || c.relname || '.' || a.attname,
       format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
         || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '') || a.attidentity::text || a.attgenerated::text
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN spaces n ON n.oid = c.relnamespace
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v')
  AND c.oid NOT IN (SELECT objid FROM foreign_to_us)
UNION ALL
SELECT 'constraint', n.name || '.' || k.conname, pg_get_constraintdef(k.oid)
FROM pg_constraint k JOIN spaces n ON n.oid = k.connamespace WHERE k.conrelid <> 0 AND k.contype <> 'n'
UNION ALL
SELECT 'index', n.name || '.' || i.relname, pg_get_indexdef(x.indexrelid)
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN spaces n ON n.oid = i.relnamespace
UNION ALL
SELECT 'trigger', n.name || '.' || c.relname || '.' || t.tgname, pg_get_triggerdef(t.oid)
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN spaces n ON n.oid = c.relnamespace WHERE NOT t.tgisinternal
UNION ALL
SELECT 'function', n.nspname || '.' || p.oid::regprocedure::text, p.prosrc
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND p.oid NOT IN (SELECT objid FROM foreign_to_us)
UNION ALL
SELECT 'type', n.name || '.' || t.typname, coalesce((SELECT string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder)
       FROM pg_enum e WHERE e.enumtypid = t.oid), '') || t.typtype::text
FROM pg_type t JOIN spaces n ON n.oid = t.typnamespace
WHERE t.typtype IN ('e', 'd', 'r') AND t.oid NOT IN (SELECT objid FROM foreign_to_us)
UNION ALL
SELECT 'extension', extname, '' FROM pg_extension WHERE extname <> 'pg_stat_statements'
"""

MADE = 2  # counts the ways in which copies have been made: one that was made in an older way is renewed
Dump = Callable[[str, tuple[Relation, ...]], Awaitable[str]]  # the SQL that makes what is at a URL, but for some tables
Snapshot = frozenset[tuple[str, str, str]]  # kind, name, definition


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """An empty copy of a database."""

    url: str
    whole: bool  # else tables that are not needed are left out


async def snapshot(target: Target) -> Snapshot:
    """Return the shape of everything in a database."""
    return frozenset((row["kind"], row["name"], row["definition"]) for row in await target.rows(SNAPSHOT))


async def clone(url: str, server: str, dump: Dump, about: str | None = None) -> Copy:
    """Return an empty copy of the database at `url`, in the server that `server` names a database of.

    Where one has to be made of many tables, only those that are needed for what the text `about` names are in it; None:
    all of them. Raises HitlessError where there cannot be one.
    """
    async with Target.open(url) as target:
        (place,) = await target.rows(
            "SELECT d.datname AS name, pg_encoding_to_char(encoding) AS encoding "
            "FROM pg_database d WHERE d.datname = current_database()"
        )
        print_, path = _print(await snapshot(target)), target.path
        name = fitted(f"hitless_rehearsal_{place['name']}")
        has = await _has(server, name, place["encoding"])
        copy = resolving(beside(server, name), path)  # in the copy names mean what they mean in the original
        if has == print_:
            return Copy(url=copy, whole=True)
        without = () if about is None else await unneeded(target, about)
    print_ = f"{print_} without {hashlib.sha256(repr(without).encode()).hexdigest()}" if without else print_
    if has != print_:
        await _renew(copy, await dump(url, without), f"COMMENT ON DATABASE {quoted(name)} IS {literal(print_)}")
    return Copy(url=copy, whole=not without)


async def _has(server: str, name: str, encoding: str) -> str | None:
    """Return what the copy in a server was marked with; makes an empty database where there is none."""
    async with Target.open(server) as target:
        there = await target.rows(
            "SELECT shobj_description(oid, 'pg_database') AS print FROM pg_database WHERE datname = %s", name
        )
        if not there:
            made = f"ENCODING {literal(encoding)} LC_COLLATE 'C' LC_CTYPE 'C'"
            await target.run(f"CREATE DATABASE {quoted(name)} TEMPLATE template0 {made}")
    return there[0]["print"] if there else None


def beside(url: str, database: str) -> str:
    """Return the URL of another database in the same server."""
    parts = urlsplit(url)
    rebuilt = urlunsplit(("", "", f"/{quote(database)}", parts.query, ""))
    return f"{parts.scheme}://{parts.netloc}{rebuilt}"


async def spoil(copy: str) -> None:
    """Have a copy renewed before it is used again."""
    async with Target.open(copy) as target:
        await target.run(f"COMMENT ON DATABASE {quoted(target.database)} IS NULL")


async def ours(url: str) -> dict[str, list[Row]]:
    """Return what hitless has written down in a database, by table: an empty copy needs it to be like the original."""
    found: dict[str, list[Row]] = {}
    async with Target.open(url) as target:
        for table in ("schema_change", "migration"):
            known = await target.rows("SELECT to_regclass(%s) IS NOT NULL AS there", f"hitless.{table}")
            if known[0]["there"]:
                rows = await target.rows(f"SELECT to_jsonb(t)::text AS row FROM hitless.{quoted(table)} t")  # noqa: S608
                found[table] = rows
    return found


async def _renew(copy: str, sql: str, finish: str) -> None:
    """Empty the copy and fill it again: dropping a database would force a checkpoint upon everybody."""
    async with Target.open(copy) as target:
        spaces = await target.rows(
            "SELECT nspname AS name FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
        )
        async with target.transaction():
            await target.run("SET LOCAL lock_timeout = '5s'")
            await target.run(*(f"DROP SCHEMA {quoted(row['name'])} CASCADE" for row in spaces))
            await target.run("CREATE SCHEMA public")
        await target.run("SET check_function_bodies = false", sql, finish)


def _print(shape: Snapshot) -> str:
    return hashlib.sha256(f"{MADE}{sorted(shape)!r}".encode()).hexdigest()
