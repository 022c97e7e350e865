"""The change file: what the user wants. Pure."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from hitless.kit.units import Share
from hitless.plan.document import (
    Count,
    Duration,
    EnvName,
    Model,
    Name,
    OptionalDuration,
    Path,
    Version,
    after,
    before,
    read,
)

Strategy = Literal["canary", "blue-green", "rolling"]
Evidence = Literal["observed", "required", "none"]
Stage = Share | str  # a share of users, or the name of a group

BAKE_S = 10.0
NO_EVIDENCE_S = 600.0
KEEP_S = 0.0
CANARY_STEPS: tuple[Stage, ...] = (Share(100), Share(500), Share(2500), Share(10_000))


def _stage(value: object) -> Stage:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no share like 5% and no group")  # noqa: TRY004  pydantic wants ValueError
    if value.endswith("%"):
        return Share.parse(value)
    if not value.replace("-", "").replace("_", "").isalnum():
        raise ValueError(f"{value!r} is no share like 5% and no group")
    return value


class ServiceChange(Model):
    """What happens to one service: a new version (`to`), or edits of how it runs."""

    to: Version | None = None
    strategy: Strategy | None = None
    steps: tuple[Annotated[Stage, before(_stage)], ...] | None = None
    bake: Duration = BAKE_S
    keep: Duration = KEEP_S
    evidence: Evidence = "observed"
    no_evidence: Duration = NO_EVIDENCE_S
    check: tuple[str, ...] | None = None
    check_timeout: Duration = 60.0
    restart: bool = False
    works_with: Mapping[Name, str] = {}
    # edits: whatever stands here takes the place of the system file's value
    instances: Count | None = None
    run: tuple[str, ...] | None = None
    cwd: str | None = None
    env: Mapping[EnvName, str] | None = None
    ready: Path | None = None
    drain: OptionalDuration | None = None

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
    def ships(self) -> bool:
        """Whether new processes take the place of all old ones."""
        return self.to is not None or self.restart or any((self.run, self.cwd, self.env, self.ready))


class Change(Model):
    """The whole file."""

    change: Name
    why: str = ""
    services: Mapping[Name, ServiceChange]


def read_change(text: str, *, file: str) -> Change:
    """Check a change file. Raises InvalidInput."""
    return read(Change, text, file=file)
