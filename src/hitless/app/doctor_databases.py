"""What doctor looks at in the databases of a system. Reads only."""

from collections.abc import Iterator

from hitless.app.databases import Databases
from hitless.app.examined import Finding
from hitless.database.observation import DatabaseNow, look
from hitless.database.running_queries import running_queries, to_views
from hitless.kit.errors import HitlessError
from hitless.plan.system import Database


async def examine_databases(databases: Databases, *, embedded_runs: bool) -> list[Finding]:
    """Look at every database; one that cannot be reached is a finding, not an error."""
    findings: list[Finding] = []
    for name, section in databases.system.databases.items():
        if databases.embedded(name) and not embedded_runs:
            findings.append(Finding(ok=True, code="database", text=f"{name}: embedded, starts with hitless up"))
            continue
        try:
            url = databases.url(name)
            now = await look(url)
            queries = await running_queries(url, "postgres" if databases.embedded(name) else "", now.sizes)
        except HitlessError as error:
            findings.append(Finding(ok=False, code=error.code, text=f"{name}: {error.text}", hint=error.hint))
            continue
        findings += _of(name, section, now)
        findings += [
            Finding(ok=False, code=each.rule, text=f"{name}: {each.text}", hint=each.hint)
            for each in to_views(queries, now.sizes, now.space)
        ]
    return findings


def _of(name: str, section: Database, now: DatabaseNow) -> Iterator[Finding]:
    version = f"schema version {now.current}" if now.current else "no schema version yet"
    beside = f", {now.open} beside it" if now.open else ""
    yield Finding(ok=True, code="database", text=f"{name}: PostgreSQL {now.server}, {version}{beside}")
    if now.read_only:
        text = f"{name} takes no writes: it is a standby, or its default is read only"
        yield Finding(ok=False, code="database-read-only", text=text, hint="point the URL at the primary")
    for what in now.drift:
        hint = "undo what was done by hand, or do the same by a migration"
        yield Finding(ok=False, code="drift", text=f"{name}: {what}", hint=hint)
    if section.pooler and not now.may_create_roles:
        text = f"{name}: the role of its URL may not create roles: behind a pooler, versions cannot be told apart"
        hint = "ALTER ROLE ... CREATEROLE, or connect directly (pooler: false); until then only one version can live"
        yield Finding(ok=False, code="no-createrole", text=text, hint=hint)
