"""The step that watches users before a change goes on. Pure."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from hitless.kit.units import EVERYBODY, Share, format_duration
from hitless.plan.instances import Slot
from hitless.signals.metrics import Load, Measured, Metric
from hitless.signals.outcomes import Conversion

Evidence = Literal["observed", "required", "none"]
ErrorsBy = Literal["users", "groups"]
LatencyAt = Literal["p50", "p90", "p95", "p99"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Compare the users of both versions for `bake_s`, and go back if the new one is worse.

    Observed: at least one user in each arm since the step began. Without that the step holds, and goes back after
    `no_evidence_s`. At 100 % there is no baseline: circuit breaker, crash guard and loads watch, for `bake_s`.
    """

    room: ClassVar[str] = "signals"
    kind: ClassVar[str] = "watch"

    service: str
    baseline: Slot  # where the old version stands
    canary: Slot  # where the new version stands
    share: Share  # of users that meet the new version
    group: str = ""  # of users that meet it whatever their bucket
    bake_s: float = 10.0
    no_evidence_s: float = 600.0
    evidence: Evidence = "observed"
    alpha: float = 0.01  # probability that a healthy version is taken back, over all steps of this service in the run
    warm_up_s: float = 0.0  # not compared: caches of new instances are cold; breaker and crash guard are armed
    errors_worse: float = 1.0  # tolerated ratio of bad users; 1.0: any worsening counts
    errors_by: ErrorsBy = "users"  # groups: for users that are not one person each
    latency_worse: float = 1.25  # tolerated factor
    latency_at: LatencyAt = "p99"
    elsewhere: tuple[str, ...] = ()  # other services where the users of both versions are compared too
    metrics: tuple[Metric, ...] = ()  # counters of others that are compared too
    loads: tuple[Load, ...] = ()  # how full the versions are
    conversion: Conversion | None = None  # what users are expected to do
    crashes: int = 2  # so many ends of processes of the new version take it back at once
    stages: int = 1  # steps of this service in the run that compare, at most
    sample_ratio: bool = True  # whether both arms get the users that they are meant to get
    placebo: bool = True  # whether groups of the old version look worse than the rest of it
    baseline_version: str = ""  # what those counters call the old version
    canary_version: str = ""
    horizon_s: float = 86_400.0  # how long all steps of this service may take together

    @property
    def measured(self) -> tuple[Measured, ...]:
        """All that others measure and that this step looks at; counters are compared or say nothing."""
        return (*self.metrics, *self.loads) if self.compares else self.loads

    @property
    def compares(self) -> bool:
        """Whether there is a concurrent baseline."""
        return self.share < EVERYBODY

    def describe(self) -> str:
        """Say in one line what the step does."""
        who = f"group {self.group}" if self.group and not self.share.buckets else f"{self.share} of users"
        how = "against the baseline" if self.compares else "with no baseline"
        return f"watch {self.service} at {who} {how} for {format_duration(self.bake_s)}"

    def inverse(self) -> None:
        """Nothing has changed."""

    @property
    def point_of_no_return(self) -> bool:
        """Nothing has changed."""
        return False
