"""Login roles for sessions that come through a transaction pooler: one for each schema version, told by their name."""

from urllib.parse import quote, unquote, urlsplit, urlunsplit

import psycopg

from hitless.database.names import literal, quoted, role_of, schema_of
from hitless.database.postgres import Target
from hitless.kit.errors import Refused


async def may_make_roles(url: str) -> bool:
    """Tell whether the role of this URL may make login roles; without it a pooler cannot tell versions apart."""
    async with Target.open(url) as target:
        return await _may(target)


async def _may(target: Target) -> bool:
    (row,) = await target.rows("SELECT rolsuper OR rolcreaterole AS may FROM pg_roles WHERE rolname = current_user")
    return bool(row["may"])


async def make_role(url: str, version: str, password: str) -> str:
    """Make the login role of a version, or give it a new password; returns its name.

    It is a member of the URL's role where the server lets that role give itself away, else it is given the rights
    on the version's views. Sessions resolve names in that version. Raises Refused `no-createrole`.
    """
    async with Target.open(url) as target:
        if not await _may(target):
            raise Refused(
                "no-createrole",
                "the role of this database may not make roles: behind a pooler versions cannot be told apart",
                "ALTER ROLE ... CREATEROLE, or give services a direct connection (pooler: false)",
            )
        name = role_of(version, target.space, target.database)
        there = await target.rows("SELECT 1 FROM pg_roles WHERE rolname = %s", name)
        verb = "ALTER" if there else "CREATE"
        await target.run(f"{verb} ROLE {quoted(name)} LOGIN PASSWORD {literal(target.hashed(password, name))}")
        await _let(target, name, version)
        schema = schema_of(version, target.space)
        path = f"{quoted(schema)}, {target.path}"
        await target.run(f"ALTER ROLE {quoted(name)} IN DATABASE {quoted(target.database)} SET search_path = {path}")
        return name


async def _let(target: Target, name: str, version: str) -> None:
    (me,) = await target.rows("SELECT current_user::text AS name")
    schema = quoted(schema_of(version, target.space))
    try:
        async with target.transaction():
            await target.run(f"GRANT {quoted(me['name'])} TO {quoted(name)}")
    except psycopg.errors.InsufficientPrivilege:  # PostgreSQL 16 and newer: a role is not its own administrator
        await target.run(
            f"GRANT USAGE ON SCHEMA {schema}, {quoted(target.space)} TO {quoted(name)}",
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {quoted(name)}",
            f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {quoted(target.space)} TO {quoted(name)}",
        )


async def drop_role(url: str, version: str) -> None:
    """Take the login role of a version away, if it is there; whoever is connected by it is not thrown out."""
    async with Target.open(url) as target:
        name = role_of(version, target.space, target.database)
        there = await target.rows(
            "SELECT pg_has_role(oid, current_user, 'MEMBER') AS member FROM pg_roles WHERE rolname = %s", name
        )
        if there and not there[0]["member"]:  # it has rights of its own, and only its members may take them away
            await target.run(f"GRANT {quoted(name)} TO CURRENT_USER", f"DROP OWNED BY {quoted(name)}")
        if there:
            await target.run(f"DROP ROLE {quoted(name)}")


async def calls(url: str, version: str) -> int | None:
    """Return how many statements the role of a version has sent; None without pg_stat_statements."""
    async with Target.open(url) as target:
        if not await target.rows("SELECT 1 FROM pg_extension WHERE extname = 'pg_stat_statements'"):
            return None
        name = role_of(version, target.space, target.database)
        (row,) = await target.rows(
            "SELECT coalesce(sum(calls), 0)::bigint AS calls FROM pg_stat_statements s "
            "JOIN pg_roles r ON r.oid = s.userid WHERE r.rolname = %s",
            name,
        )
        return int(row["calls"])


def pooled_url(url: str, role: str, password: str) -> str:
    """Put the role of a version into a URL; it needs no `options`, which poolers refuse."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    login = f"{quote(role, safe='')}:{quote(unquote(password), safe='')}"
    rebuilt = urlunsplit(("", "", parts.path, parts.query, parts.fragment))
    return f"{parts.scheme}://{login}@{host}{rebuilt}"
