"""The databases of one system: where they are, what is in them, and what the first `up` brings into them."""

import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from hitless.app.migrations import MigrationFolder
from hitless.database.driver import DatabaseDriver, baseline
from hitless.database.migration import Migration
from hitless.database.observation import DatabaseNow, look
from hitless.database.pooler import drop_role, make_role, pooled_url
from hitless.database.running_queries import count_statements
from hitless.database.steps import Contract, schema_steps
from hitless.database.urls import version_parameters, version_url
from hitless.kit.errors import HitlessError, InvalidInput
from hitless.kit.files import write_atomic
from hitless.plan.ports import Clock, Moment
from hitless.plan.system import Database, System, near
from hitless.runtime.postgres import EmbeddedPostgres
from hitless.runtime.shim.references import Unresolved, resolve

BASELINE = "0000_baseline"  # how the tables are called that were there before hitless


@dataclass(frozen=True, slots=True, kw_only=True)
class Databases:
    """Reaches the databases of a system; what their URLs refer to is looked up each time and kept nowhere."""

    system: System
    folder: Path  # where the system file lies; relative paths begin here
    state: Path

    def url(self, name: str) -> str:
        """Return the URL by which hitless reaches a database, resolved.

        Raises HitlessError `unknown-database`, `no-database-url`.
        """
        section = self.system.databases.get(name)
        if section is None:
            text = f"the system file has no database {name!r} any more, which a run still needs"
            raise HitlessError("unknown-database", text, "put it back, then: hitless down, hitless up")
        return self._resolved(name, section.direct or section.url)

    def _resolved(self, name: str, reference: str | None) -> str:
        if reference is None:
            return EmbeddedPostgres(self.state).url(name)
        try:
            return resolve(_absolute(reference, self.folder), dict(os.environ))
        except Unresolved as error:
            text = f"databases.{name}.url: {error}"
            raise HitlessError("no-database-url", text, "set it, then: hitless down, hitless up") from None

    def embedded(self, name: str) -> bool:
        """Tell whether a database lies in the embedded server."""
        return self.system.databases[name].url is None

    def url_for_services(self, name: str, schema: str | None) -> str:
        """Return what services find as DATABASE_URL: a URL, or a reference to one that is resolved at each start."""
        if schema is not None and self.system.databases[name].pooler:
            return f"file:{self._login(name, schema)}"
        reference = self.system.databases[name].url
        if reference is None or "://" in reference:
            url = reference or EmbeddedPostgres(self.state).url(name)
            return url if schema is None else version_url(url, schema)
        whole = _absolute(reference, self.folder)
        return (
            whole
            if schema is None
            else f"{whole}&{version_parameters(version_url(self._resolved(name, reference), schema))}"
        )

    def _login(self, name: str, schema: str) -> Path:
        """Return the file that holds the URL of a version's login role, for connections through a pooler."""
        return self.state / "run" / f"login-{name}-{quote(schema, safe='')}"

    async def log_in(self, name: str, schema: str) -> None:
        """Make the login role of a schema version where connections go through a pooler; nothing elsewhere.

        Raises Refused `no-createrole`.
        """
        file = self._login(name, schema)
        if self.system.databases[name].pooler and not file.exists():
            password = secrets.token_urlsafe(32)
            role = await make_role(self.url(name), schema, password)
            pooler = self._resolved(name, self.system.databases[name].url)
            write_atomic(file, pooled_url(pooler, role, password))

    async def log_out(self, name: str, schema: str) -> None:
        """Take the login role of a schema version away."""
        file = self._login(name, schema)
        if file.exists():
            await drop_role(self.url(name), schema)
            file.unlink()

    def logged_in(self, name: str, schema: str) -> bool:
        """Tell whether services can be given a schema version."""
        return not self.system.databases[name].pooler or self._login(name, schema).exists()

    def migrations(self, name: str) -> tuple[Migration, ...]:
        """Return all migrations in the folder of a database. Raises InvalidInput."""
        folder = self.system.databases[name].migrations
        if folder is None:
            text = f"databases.{name} has no folder of migrations"
            raise InvalidInput("no-migrations-folder", text, "give it one in the system file: migrations: migrations/")
        return MigrationFolder(self.folder / folder).read()

    async def look(self, names: Iterable[str]) -> dict[str, DatabaseNow]:
        """Return what some databases look like now. Raises HitlessError `database-down`."""
        return {name: await look(self.url(name)) for name in names}

    async def in_force(self) -> dict[str, str | None]:
        """Return by database the schema version on which a service begins; only those that have migrations."""
        managed = [name for name, section in self.system.databases.items() if section.migrations is not None]
        return {name: now.current for name, now in (await self.look(managed)).items()}

    async def bring_up(self, clock: Clock) -> None:
        """Have every database that has migrations at a schema version; what is there already stays as it is.

        Raises HitlessError `database-down` and the like before any service is started.
        """
        for name, section in self.system.databases.items():
            if section.migrations is not None:
                await self._bring_up(name, section, clock)
                if (version := (await look(self.url(name))).current) is not None:
                    await self.log_in(name, version)
                if self.embedded(name):
                    await count_statements(EmbeddedPostgres(self.state).url("postgres"))

    async def _bring_up(self, name: str, section: Database, clock: Clock) -> None:
        unfinished = self.state / "run" / f"first-up-{name}"
        now = await look(self.url(name))
        if now.current is None and now.open is None and now.sizes and not unfinished.exists():
            await baseline(self.url(name), section.version or BASELINE)
        elif section.version is not None and (not now.versions or unfinished.exists()):
            wanted = _up_to(section.version, self.migrations(name), name)
            unfinished.touch(mode=0o600)
            for migration in wanted:
                await self._run(name, migration, clock)
            unfinished.unlink()

    async def _run(self, name: str, migration: Migration, clock: Clock) -> None:
        driver = DatabaseDriver(self.url)

        async def note(_: dict[str, object]) -> None:
            """An `up` is no run; its remarks are not kept."""

        moment = Moment(run="up", position=0, started_at=clock.now(), note=note)
        steps = schema_steps(name, (migration,))
        if await driver.done(steps.after[-1], moment):
            return
        after = (replace(step, first=True) if isinstance(step, Contract) else step for step in steps.after)
        for step in (*steps.before, *after):
            if not await driver.done(step, moment):
                await driver.do(step, moment)


def _up_to(version: str, migrations: tuple[Migration, ...], database: str) -> tuple[Migration, ...]:
    names = {each.name: place for place, each in enumerate(migrations)}
    if version not in names:
        text = f"databases.{database}.version: there is no migration {version}"
        raise InvalidInput("unknown-migration", text, near(version, names))
    return migrations[: names[version] + 1]


def _absolute(reference: str, folder: Path) -> str:
    path = reference.removeprefix("file:")
    return reference if path == reference or path.startswith("/") else f"file:{folder / path}"
