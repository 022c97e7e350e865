"""The change file: what the user wants. Pure."""

from collections.abc import Callable, Mapping
from typing import Annotated, Literal, Self

from hitless.kit.units import Share, format_duration, parse_duration_s
from hitless.plan.document import (
    Count,
    Duration,
    EnvName,
    FindingId,
    FlagKey,
    MigrationName,
    Model,
    Name,
    OptionalDuration,
    OrList,
    Path,
    Version,
    after,
    before,
    called,
    read,
    shown,
)
from hitless.plan.guards import Guards

Strategy = Literal["canary", "blue-green", "rolling"]
Evidence = Literal["observed", "required", "none"]
Stage = Share | str  # a share of users, or the name of a group
OnFailure = Literal["take back", "freeze", "go on"]

BAKE_S = 10.0
NO_EVIDENCE_S = 600.0
LEAST_NO_EVIDENCE_S = 5.0  # a second of users is known about two seconds after its end
KEEP_S = 0.0
STAGE = {"type": "string", "description": "a share like 5%, or the name of a group"}
CONTRACT = {"anyOf": [{"enum": ["manual", "at once"]}, {"type": "string", "pattern": "^after \\S+$"}]}
CANARY_STEPS: tuple[Stage, ...] = (Share(100), Share(500), Share(2500), Share(10_000))


def _stage(value: object) -> Stage:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no share like 5% and no group")  # noqa: TRY004  pydantic wants ValueError
    if value.endswith("%"):
        return Share.parse(value)
    if not value.replace("-", "").replace("_", "").isalnum():
        raise ValueError(f"{value!r} is no share like 5% and no group")
    return value


def _contract(value: object) -> float | None:
    match value:
        case "manual":
            return None
        case "at once":
            return 0.0
        case str() if value.startswith("after "):
            return parse_duration_s(value.removeprefix("after "))
        case _:
            raise ValueError(f"{value!r} is not one of: manual, after 24h, at once")


def _patient(no_evidence_s: float) -> None:
    if no_evidence_s < LEAST_NO_EVIDENCE_S:
        least, given = format_duration(LEAST_NO_EVIDENCE_S), format_duration(no_evidence_s)
        raise ValueError(f"no_evidence is at least {least}, not {given}: before that nobody can have been counted")


def _listed(key: str) -> Callable[[object], object]:
    """A bare list is short for a section with this key alone."""

    def convert(value: object) -> object:
        return {key: value} if isinstance(value, list | tuple) else value

    return convert


class DatabaseChange(Model):
    """Migrations of one database; a bare list is short for `migrations`."""

    migrations: tuple[MigrationName, ...]
    contract: Annotated[float | None, before(_contract), shown(CONTRACT)] = (
        None  # seconds after the switch; None: by `hitless contract`
    )
    accept: Mapping[FindingId, str] = {}  # finding of the rehearsal -> why it is all right here


class FlagChange(Model):
    """Stages of one flag; a bare list is short for `stages`."""

    stages: tuple[str, ...]
    bake: Duration = BAKE_S
    evidence: Evidence = "observed"
    no_evidence: Duration = NO_EVIDENCE_S
    cohort: Literal["own", "same as change"] = "own"

    @after
    def _check_patience(self) -> Self:
        _patient(self.no_evidence)
        return self


class ServiceChange(Model):
    """What happens to one service: a new version (`to`), or edits of how it runs."""

    to: Version | None = None
    strategy: Strategy | None = None
    steps: tuple[Annotated[Stage, before(_stage), shown(STAGE)], ...] | None = None
    bake: Duration = BAKE_S
    keep: Duration = KEEP_S
    evidence: Evidence = "observed"
    no_evidence: Duration = NO_EVIDENCE_S
    check: tuple[str, ...] | None = None
    check_timeout: Duration = 60.0
    restart: bool = False
    accept_blind: bool = False  # a step may be too short to see anything, and the user knows
    schema_version: MigrationName | None = called("schema", None)  # None: the newest of this change's migrations
    works_with: Mapping[Name, str] = {}
    # edits: whatever stands here takes the place of the system file's value
    instances: Count | None = None
    run: tuple[str, ...] | None = None
    cwd: str | None = None
    env: Mapping[EnvName, str] | None = None
    ready: Path | None = None
    drain: OptionalDuration | None = None

    @after
    def _check_patience(self) -> Self:
        _patient(self.no_evidence)
        return self

    @after
    def _check_steps(self) -> Self:
        if self.steps is None:
            return self
        if self.strategy not in (None, "canary"):
            raise ValueError(f"steps belong to a canary, not to {self.strategy}")
        shares = [step for step in self.steps if isinstance(step, Share)]
        if any(isinstance(step, str) for step in self.steps[1:]):
            raise ValueError("a group can only be the first step")
        if shares != sorted(set(shares)) or not shares or shares[0].buckets == 0:
            raise ValueError(f"steps must grow: {', '.join(map(str, self.steps))}")
        if str(shares[-1]) != "100%":
            raise ValueError(f"the last step is {shares[-1]}; it must be 100%")
        return self

    @property
    def moves(self) -> bool:
        """Whether what starts is meant for the newest schema version: another version, or the same one moved to it."""
        return self.to is not None or self.restart

    @property
    def ships(self) -> bool:
        """Whether new processes take the place of all old ones."""
        return self.to is not None or self.restart or any((self.run, self.cwd, self.env, self.ready))


class Change(Model):
    """The whole file."""

    change: Name
    why: str = ""
    on_failure: OnFailure = "take back"
    services: Mapping[Name, ServiceChange] = {}
    guards: Guards = Guards()
    database: Mapping[Name, Annotated[DatabaseChange, before(_listed("migrations")), OrList()]] = {}
    flags: Mapping[FlagKey, Annotated[FlagChange, before(_listed("stages")), OrList()]] = {}

    @after
    def _check_some(self) -> Self:
        if not (self.services or self.database or self.flags):
            raise ValueError("a change needs services, database or flags")
        for key, service in self.guards.of_services().items():
            if service is None and len(self.services) != 1:
                raise ValueError(f"guards.{key} must name its service: the change has {len(self.services)}")
            if service is not None and service not in self.services:
                raise ValueError(f"guards.{key} names {service!r}, which the change does not touch")
        return self


def read_change(text: str, *, file: str) -> Change:
    """Check a change file. Raises InvalidInput."""
    return read(Change, text, file=file)
