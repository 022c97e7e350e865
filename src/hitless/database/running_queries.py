"""The queries that running code really uses, tried on the schema versions that it will meet."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from psycopg import Error, Rollback

from hitless.database.clone import beside
from hitless.database.compiled import Compiled
from hitless.database.constraints import words_of
from hitless.database.findings import Finding
from hitless.database.names import plain, quoted, schema_of
from hitless.database.postgres import Target

QUERIES_LIMIT = 200  # the ones that are used most
KEPT_LIMIT = 5000  # statements that the server keeps by default; most of them may be about other things than our tables
SHOWN = 120  # characters
LISTED = 10
WHERE_THEY_ARE = """
SELECT quote_ident(n.nspname) AS space FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
WHERE e.extname = 'pg_stat_statements' AND current_setting('shared_preload_libraries') LIKE '%%pg_stat_statements%%'
"""
_PLANNED = re.compile(r"^\s*(SELECT|INSERT|UPDATE|DELETE|WITH|MERGE|VALUES)\b", re.IGNORECASE)
_NAME = r'(?P<name>(?:"[^"]+"|[A-Za-z_][\w$]*)(?:\s*\.\s*(?:"[^"]+"|[A-Za-z_][\w$]*))?)'
_TO_A_VIEW = {
    "truncates-view": re.compile(rf"^\s*TRUNCATE\s+(?:TABLE\s+)?(?:ONLY\s+)?{_NAME}", re.IGNORECASE),
    "copies-to-view": re.compile(rf"^\s*COPY\s+{_NAME}[^;]*\bFROM\b", re.IGNORECASE | re.DOTALL),
}
_SAYS = {"truncates-view": "cannot TRUNCATE", "copies-to-view": "cannot COPY into"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One statement as the server's statistics write it: values are $1, $2, ..."""

    text: str
    calls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitting:
    """The queries of the running code that the new version knows, and what is said against the others."""

    fit: tuple[Query, ...]
    unfit: tuple[str, ...] = ()


async def running_queries(url: str, server: str, tables: Iterable[str]) -> tuple[Query, ...]:
    """Return what has been asked of some tables of a database; empty where pg_stat_statements is not there.

    `server` is another database of the same server where the extension may be instead.
    """
    async with Target.open(url) as target:
        name = (await target.rows("SELECT current_database() AS name"))[0]["name"]
        found = await _asked(target, name)
    if found is None and server:
        async with Target.open(beside(url, server)) as target:
            found = await _asked(target, name)
    known = set(tables)
    return tuple(each for each in found or () if words_of(each.text) & known)[:QUERIES_LIMIT]


async def count_statements(url: str) -> None:
    """Make the statistics of statements readable in a database of a server that keeps them."""
    async with Target.open(url) as target:
        libraries = await target.rows("SELECT current_setting('shared_preload_libraries') AS names")
        if "pg_stat_statements" in libraries[0]["names"]:
            await target.run("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")


async def _asked(target: Target, database: str) -> tuple[Query, ...] | None:
    spaces = await target.rows(WHERE_THEY_ARE.replace("%%", "%"))
    if not spaces:
        return None
    rows = await target.rows(
        f"SELECT s.query AS text, sum(s.calls)::bigint AS calls FROM {spaces[0]['space']}.pg_stat_statements s "  # noqa: S608
        "JOIN pg_database d ON d.oid = s.dbid WHERE d.datname = %s AND s.query NOT ILIKE %s "
        "GROUP BY s.query ORDER BY 2 DESC, 1 LIMIT %s",
        database,
        "%hitless%",
        KEPT_LIMIT,
    )
    return tuple(Query(text=row["text"], calls=row["calls"]) for row in rows)


async def fitting(target: Target, compiled: Compiled, queries: Iterable[Query]) -> Fitting:
    """Plan each query on the old version, which must still know it, and on the new one, which need not.

    A query that the old version does not know belongs to other code, and says nothing.
    """
    old = schema_of(compiled.old_version, target.space) if compiled.old_version is not None else target.space
    known = [each for each in queries if _PLANNED.match(each.text) and await _plans(target, old, each) is None]
    return await fitting_still(target, compiled, Fitting(fit=tuple(known)))


async def fitting_still(target: Target, compiled: Compiled, found: Fitting) -> Fitting:
    """Plan what has fitted so far on the new version as it is now.

    It is asked again after contract: until then the search_path finds behind the version what is none of it, the base
    table that the new version drops or calls by another name.
    """
    space, fit, unfit = schema_of(compiled.version, target.space), list[Query](), list(found.unfit)
    for query in found.fit:
        said = await _plans(target, space, query)
        if said is None:
            fit.append(query)
        else:
            unfit.append(f"{' '.join(query.text.split())[:SHOWN]!r}: {said}")
    return Fitting(fit=tuple(fit), unfit=tuple(unfit))


async def _plans(target: Target, space: str, query: Query) -> str | None:
    """Plan a query in a schema version; returns what the server says against it."""
    try:
        async with target.transaction():
            path = f"SET LOCAL search_path = {quoted(space)}, {target.path}"
            await target.run(path, f"PREPARE _hitless_query AS {query.text}", "DEALLOCATE _hitless_query")
            raise Rollback  # a path that is set in a part of a transaction outlives that part
    except Error as error:
        return (error.diag.message_primary or str(error)).strip()
    return None


def unfit_queries(unfit: Sequence[str], compiled: Compiled, *, moved_as_it_is: bool) -> Iterator[Finding]:
    """Find fault with queries that do not fit; only where all code is moved as it is they refuse the change."""
    if unfit:
        shown = "; ".join(unfit[:LISTED])
        text = f"{len(unfit)} queries of the running code do not fit {compiled.version}: {shown}"
        hint = "ship code that does not use them" if moved_as_it_is else "code that is moved to it must not use them"
        yield Finding(rule="unfit-query", text=text, hint=hint, refuses=moved_as_it_is)


def to_views(queries: Iterable[Query], tables: Iterable[str], space: str) -> Iterator[Finding]:
    """Name statements of the running code that work on a table and would meet a view in a schema version.

    `space`: the schema of the tables.
    """
    known = set(tables)
    for query in queries:
        for rule, pattern in _TO_A_VIEW.items():
            found = pattern.match(query.text)
            name = found["name"].strip('"') if found is not None else ""
            if name in known:
                text = f"running code {_SAYS[rule]} {name} through its schema version: {query.text.strip()[:SHOWN]}"
                hint = f"name the table itself: {plain(space)}.{plain(name)}"
                yield Finding(rule=rule, text=text, hint=hint, refuses=False)
