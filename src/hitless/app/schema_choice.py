"""Which schema version a service starts on. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from hitless.plan.change import Change, ServiceChange
from hitless.plan.plan import Refusal
from hitless.plan.system import Service, System, near
from hitless.runtime.steps import Launch


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaChoice:
    """What there is to choose from, by database."""

    newest: Mapping[str, str] = field(default_factory=dict)  # the version that the migrations of this change make
    there: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # those that can be used now

    def of(self, section: Service, wanted: ServiceChange, now: Launch | None) -> str | None:
        """Return the schema version for what a change starts; None: the base tables as they are.

        What the change ships starts on the newest of its migrations; everything else keeps what it was started on.
        """
        if section.database is None:
            return None
        if wanted.schema_version is not None:
            return wanted.schema_version
        if wanted.moves and section.database in self.newest:
            return self.newest[section.database]
        if now is None or now.database != section.database:
            return next(iter(self.there.get(section.database, ())), None)
        return now.schema

    def against(self, name: str, section: Service, wanted: ServiceChange) -> Iterator[Refusal]:
        """Yield why a service cannot start on the schema version that the change names."""
        if wanted.schema_version is None:
            return
        known = self.known(section.database or "")
        if wanted.schema_version not in known:
            text = f"services.{name}.schema: {wanted.schema_version} is no schema version of {section.database or 'it'}"
            hint = near(wanted.schema_version, dict.fromkeys(known)) if known else "it uses no database with migrations"
            yield Refusal(code="unknown-schema", text=text, hint=hint)

    def known(self, database: str) -> tuple[str, ...]:
        """Return the versions that can be used once the change has expanded its database."""
        return (*self.there.get(database, ()), *((self.newest[database],) if database in self.newest else ()))


def looked_at(change: Change, system: System) -> set[str]:
    """Name the databases that must be looked at before a change can be planned."""
    named = {name for name in change.database if name in system.databases}
    for name, wanted in change.services.items():
        section = system.services.get(name)
        if wanted.schema_version is not None and section is not None and section.database is not None:
            named.add(section.database)
    return named
