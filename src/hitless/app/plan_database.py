"""The databases of a change: which schema steps it needs around the shipping of code. Pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise

from hitless.app.facts import ServiceNow
from hitless.app.proposal import Proposal, joined
from hitless.app.schema_choice import SchemaChoice
from hitless.database.findings import SMALL_ROWS, Finding, Rehearsed
from hitless.database.forecast import forecast
from hitless.database.migration import Migration
from hitless.database.observation import DatabaseNow
from hitless.database.steps import Contract, SchemaSteps, schema_steps
from hitless.flags.stages import EVERYONE
from hitless.kit.units import format_duration
from hitless.plan.change import Change, DatabaseChange
from hitless.plan.document import MIGRATION_NAME
from hitless.plan.plan import Refusal
from hitless.plan.system import System, near

LISTED = 5  # of a kind, in one sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The migrations that a change names for one database, found in its folder."""

    name: str
    wanted: DatabaseChange
    now: DatabaseNow
    folder: tuple[Migration, ...]

    @property
    def chosen(self) -> tuple[Migration, ...]:
        """Those that are there, by number."""
        return tuple(each for each in self.folder if each.name in self.wanted.migrations)

    @property
    def steps(self) -> SchemaSteps:
        """The steps of all of them taken as one change. Raises InvalidInput for a file that cannot be right."""
        return schema_steps(self.name, self.chosen)

    @property
    def version(self) -> str:
        """The schema version that they make."""
        return self.steps.before[0].version

    def against(self) -> tuple[Refusal, ...]:
        """Return what speaks against it before anything is tried."""
        return (*self._unfit_names(), *self._unfit_database())

    def _unfit_names(self) -> Iterator[Refusal]:
        names = {each.name: each for each in self.folder}
        for wanted in self.wanted.migrations:
            if wanted not in names:
                text = f"{self.name}: there is no migration {wanted}"
                yield Refusal(code="unknown-migration", text=text, hint=near(wanted, names) if names else "write it")
        for each in self.folder:
            if self.now.ran.get(each.name, each.checksum) != each.checksum:
                text = f"{self.name}: {each.name} ran already and was edited since"
                yield Refusal(code="migration-edited", text=text, hint="give it back its text, and write a new one")
            elif each.name in self.wanted.migrations and each.name in self.now.ran:
                text = f"{self.name}: {each.name} ran already"
                yield Refusal(code="migration-ran", text=text, hint="leave it out of the change")
        if not self.wanted.migrations:
            text = f"the change names no migration for {self.name}"
            yield Refusal(code="no-migrations", text=text, hint="name one, or leave the database out")
        yield from self._listed_wrongly()
        yield from self._out_of_order()

    def _listed_wrongly(self) -> Iterator[Refusal]:
        """The list says what its writer expects to run first; it is not sorted behind their back."""
        known = [each for each in self.wanted.migrations if each in {file.name for file in self.folder}]
        right = ", ".join(sorted(set(known), key=lambda name: _number(name) or 0))
        for one, two in pairwise(known):
            if one == two:
                text = f"{self.name}: the change names {one} twice"
            elif (_number(one) or 0) > (_number(two) or 0):
                text = f"{self.name}: the change names {one} before {two}, which runs first"
            else:
                continue
            yield Refusal(code="migration-order", text=text, hint=f"write {right}")
            return

    def _out_of_order(self) -> Iterator[Refusal]:
        """A file that is late, or one that was left out: another database would get them in another order."""
        past = [*self.now.ran, *([self.now.current] if self.now.current else [])]
        newest = max((number for name in past if (number := _number(name)) is not None), default=-1)
        for each in self.chosen:
            if each.number <= newest and each.name not in self.now.ran:
                text = (
                    f"{self.name}: {each.name} comes before {max(past, key=lambda name: _number(name) or 0)}, which ran"
                )
                yield Refusal(code="migration-late", text=text, hint=f"rename it to {newest + 1:04d}_...")
        last = self.chosen[-1].number if self.chosen else newest
        for each in self.folder:
            if newest < each.number < last and each not in self.chosen:
                text = f"{self.name}: {each.name} stands before {self.chosen[-1].name} and has not run"
                yield Refusal(code="migration-skipped", text=text, hint="name it in the change too, or number it later")

    def _unfit_database(self) -> Iterator[Refusal]:
        if self.now.open is not None:
            text = f"{self.name} has schema version {self.now.open} beside {self.now.current or 'its tables'} already"
            yield Refusal(code="change-open", text=text, hint="contract that change, or roll it back: hitless runs")
        if self.now.read_only:
            text = f"{self.name} takes no writes: it is a standby, or its default is read only"
            yield Refusal(code="database-read-only", text=text, hint="point the URL at the primary")
        if self.now.drift:
            shown = "; ".join(self.now.drift[:LISTED])
            more = f"; and {len(self.now.drift) - LISTED} more" if len(self.now.drift) > LISTED else ""
            text = f"{self.name} is no longer as {self.now.current} has left it: {shown}{more}"
            yield Refusal(code="drift", text=text, hint="undo what was done by hand, or do the same by a migration")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabasePart:
    """Plans the databases of one change."""

    system: System
    change: Change
    selections: Mapping[str, Selection] = field(default_factory=dict)
    rehearsed: Mapping[str, Rehearsed] = field(default_factory=dict)
    services: Mapping[str, ServiceNow] = field(default_factory=dict)
    schemas: SchemaChoice = field(default_factory=SchemaChoice)
    held_by: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # database -> flags that need its old side now

    def propose(self) -> Proposal:
        """Return the steps, with every reason against them that can be seen now."""
        parts = [self._of(self.selections[name]) for name in self.change.database if name in self.selections]
        claims = frozenset(f"database {name}" for name in self.change.database)
        return joined([*parts, Proposal(refusals=tuple(self._unknown()), claims=claims)])

    def _unknown(self) -> Iterator[Refusal]:
        for name in self.change.database:
            if name not in self.system.databases:
                text = f"{name!r} is no database of {self.system.system}"
                yield Refusal(code="unknown-database", text=text, hint=near(name, self.system.databases))

    def _of(self, selection: Selection) -> Proposal:
        rehearsed = self.rehearsed.get(selection.name, Rehearsed())
        refusals = (*selection.against(), *_refused(selection, rehearsed))
        if selection.against() or not selection.chosen:
            return Proposal(refusals=refusals)
        steps, after_s = selection.steps, selection.wanted.contract
        conclude = tuple(
            replace(step, destroys=_destroys(rehearsed), after_s=after_s, flags=tuple(self.change.flags))
            if isinstance(step, Contract)
            else step
            for step in steps.after
        )
        return Proposal(
            prepare=steps.before,
            retire=(steps.switch,),
            conclude=conclude,
            needs_approval=True,
            refusals=refusals,
            remarks=tuple(self._remarks(selection, rehearsed)),
        )

    def _remarks(self, selection: Selection, rehearsed: Rehearsed) -> Iterator[str]:
        name, wanted = selection.name, selection.wanted
        yield f"{name}: {_when(wanted.contract, destroys=bool(_destroys(rehearsed)))}"
        if rehearsed.destroys:
            yield f"{name}: contract takes away for good: {', '.join(rehearsed.destroys)}"
        yield from _forecasts(selection)
        if waiting := list(self._waiting(selection)):
            yield (
                f"{name}: contract waits until these have moved: {', '.join(waiting)} "
                f"(a change with `to` or `restart: true`, and `schema: {selection.version}`)"
            )
        for flag, staged in self.change.flags.items():
            if staged.stages[-1:] != (EVERYONE,):
                yield f"{name}: contract waits until flag {flag} stands at everyone; its last stage here is not"
        yield from (f"{name}: contract waits as long as {text}" for text in self.held_by.get(name, ()))
        if rehearsed.where:
            yield f"{name}: rehearsed in {rehearsed.where}, with {rehearsed.queries} queries of the running code"
        for finding in rehearsed.findings:
            if reason := wanted.accept.get(finding.rule):
                yield f"{name}: {finding.rule} accepted ({reason}): {finding.text}"
            elif not finding.refuses:
                yield f"{name}: {finding.rule}: {finding.text}" + (f" ({finding.hint})" if finding.hint else "")
        yield from _not_found(selection, rehearsed)

    def _waiting(self, selection: Selection) -> Iterator[str]:
        """Name services that still use the old schema version when the code of this change is everywhere."""
        for name, section in self.system.services.items():
            now = self.services.get(name)
            if section.database != selection.name or now is None or now.baseline is None:
                continue
            launch, wanted = now.baseline.launch, self.change.services.get(name)
            schema, version = launch.schema, launch.version
            if wanted is not None and wanted.ships:
                schema, version = self.schemas.of(section, wanted, launch), wanted.to or version
            if schema != selection.version:
                yield f"{name} {version} on {schema or 'the tables themselves'}"


def _forecasts(selection: Selection) -> Iterator[str]:
    """Say what filling each table will cost; small tables are not worth a line."""
    sizes = {name: (size.rows, size.bytes) for name, size in selection.now.sizes.items()}
    for each in forecast(selection.chosen, sizes):
        if each.rows > SMALL_ROWS:
            yield (
                f"{selection.name}: {each.table} is filled {each.method} ({each.why}): {each.rows:,} rows, about "
                f"{format_duration(each.seconds)} unthrottled, {_mib(each.wal_bytes)} of WAL, {_mib(each.bloat_bytes)} "
                f"of bloat, {_mib(each.disk_bytes)} of disk while it runs"
            )


def _mib(count: int) -> str:
    return f"{max(count, 0) / (1 << 20):,.0f} MiB"


def _destroys(rehearsed: Rehearsed) -> tuple[str, ...]:
    return rehearsed.destroys if rehearsed.where else ("whatever it replaces (not rehearsed)",)


def _refused(selection: Selection, rehearsed: Rehearsed) -> Iterator[Refusal]:
    name = selection.name
    if rehearsed.failure is not None:
        failure = rehearsed.failure
        yield Refusal(code=failure.rule, text=f"{name}: {failure.text}", hint=failure.hint)
    for finding in rehearsed.findings:
        if finding.refuses and finding.rule not in selection.wanted.accept:
            accept = f"or accept it: database: {{{name}: {{accept: {{{finding.rule}: why}}}}}}"
            hint = f"{finding.hint}; {accept}" if finding.hint else accept
            yield Refusal(code=finding.rule, text=f"{name}: {finding.text}", hint=hint)


def _not_found(selection: Selection, rehearsed: Rehearsed) -> Iterator[str]:
    """What is accepted and does not happen is a mistake, or no longer needed."""
    found = {finding.rule: finding for finding in rehearsed.findings}
    for rule in selection.wanted.accept:
        if rule not in found:
            hint = near(rule, found) if found else "take it out"
            yield f"{selection.name}: {rule} is accepted, and the rehearsal does not find it; {hint}"


def _when(after_s: float | None, *, destroys: bool) -> str:
    approval = "once it is approved (apply --approve contract)" if destroys else "by itself: nothing is destroyed"
    if after_s is None:
        return "contract: manual, by hitless contract RUN; until then rollback loses no row"
    if after_s == 0:
        return f"contract: at once, {approval}"
    return f"contract: {format_duration(after_s)} after the switch, {approval}; until then rollback loses no row"


def _number(name: str) -> int | None:
    return int(name.split("_", maxsplit=1)[0]) if re.fullmatch(MIGRATION_NAME, name) else None


def failure_of(code: str, text: str, hint: str) -> Rehearsed:
    """Return the rehearsal of a change that could not even be tried."""
    return Rehearsed(failure=Finding(rule=code, text=text, hint=hint))
