"""Rehearses what a change does to a database before anybody is asked to approve it."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

from hitless.app.databases import Databases
from hitless.app.lint import lint
from hitless.app.plan_database import Selection
from hitless.database.clone import Copy, clone, ours
from hitless.database.connecting import past_pooler
from hitless.database.findings import Finding, Rehearsed
from hitless.database.observation import has_open_change, look
from hitless.database.pg_dump import schema_of_database
from hitless.database.rehearsal import Script, rehearse_on_copy
from hitless.database.running_queries import running_queries, to_views
from hitless.kit.errors import HitlessError
from hitless.runtime.postgres import EmbeddedPostgres, binary

SERVER = "postgres"  # a database that every server has


@dataclass(frozen=True, slots=True)
class Rehearsals:
    """One at a time: they share the copies."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def of(self, selection: Selection, databases: Databases, *, moved_as_it_is: bool) -> Rehearsed:
        """Try the migrations of a change on an empty copy; where none can be had, the answer says so."""
        linted = await lint(selection.chosen, selection.now.major)
        async with self.lock:
            url = await past_pooler(databases.url(selection.name))
            server = SERVER if databases.embedded(selection.name) else ""
            queries = await running_queries(url, server, selection.now.sizes)
            script = Script(
                version=selection.version,
                migrations=selection.chosen,
                ours=await ours(url),
                sizes=selection.now.sizes,
                queries=queries,
                moved_as_it_is=moved_as_it_is,
            )
            try:
                found = await rehearse_on_copy(partial(self._copy, selection, url, databases), script)
            except HitlessError as error:
                text = f"there is no copy to rehearse on: {error.text}"
                hint = "a role that may create databases, or an embedded PostgreSQL of the same version"
                return Rehearsed(findings=(Finding(rule="not-rehearsed", text=text, hint=hint, refuses=False), *linted))
        return replace(
            found, findings=(*found.findings, *to_views(queries, selection.now.sizes, selection.now.space), *linted)
        )

    async def warm(self, databases: Databases) -> None:
        """Have the copies of databases that have migrations ready, so that the next plan is fast.

        One with an open change gets no plan, and will look different afterwards.
        """
        for name, section in databases.system.databases.items():
            if section.migrations is not None:
                with suppress(HitlessError):
                    async with self.lock:
                        url = await past_pooler(databases.url(name))
                        if not await has_open_change(url):
                            await self._clone(url, next(self._servers(name, url, databases)))

    async def _copy(self, selection: Selection, url: str, databases: Databases, about: str | None) -> tuple[Copy, str]:
        """Return an empty copy and where it is: rather in our own server than in the one that people use."""
        failure = HitlessError("no-dump", "no server can hold it")
        for server in self._servers(selection.name, url, databases):
            own = server != url
            try:
                if own and (await look(server)).major != selection.now.major:
                    continue
                return await self._clone(url, server, about), _where(own=own)
            except HitlessError as error:
                failure = error
        raise failure

    @staticmethod
    def _servers(name: str, url: str, databases: Databases) -> Iterator[str]:
        embedded = EmbeddedPostgres(databases.state)
        if embedded.exists:
            yield embedded.url(SERVER)
        if not databases.embedded(name):
            yield url

    @staticmethod
    async def _clone(url: str, server: str, about: str | None = None) -> Copy:
        program = binary("pg_dump")

        return await clone(url, server, partial(schema_of_database, program), about)


def _where(*, own: bool) -> str:
    return "an empty copy in the embedded server" if own else "an empty copy in the same server"
