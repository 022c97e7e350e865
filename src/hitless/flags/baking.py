"""Decides how one Bake step ends, from what users feel second by second. Pure."""

import math
from dataclasses import dataclass, field

from hitless.flags.guard import BeforeAfter
from hitless.flags.ports import UserSecond
from hitless.flags.steps import Bake
from hitless.kit.units import format_duration
from hitless.plan.ports import StepFailed

BEFORE_S = 60  # how far back the time before reaches
SETTLES_S = 3.0  # until the last second of the bake is counted


@dataclass(slots=True)
class Baking:
    """One Bake step that is going on since `started_at`."""

    step: Bake
    started_at: float  # seconds since the epoch
    resumed_at: float = 0.0  # when the run was last let go on: while it was held nobody waited for evidence
    intact: set[int] = field(default_factory=set)  # seconds of the bake in which nothing was lost
    lost_s: int = 0
    _compared: dict[str, BeforeAfter] = field(default_factory=dict)  # by service
    _worse: str = ""

    def __post_init__(self) -> None:
        alpha = self.step.alpha / max(1, len(self.step.services))
        self._compared = {name: BeforeAfter(worse=self.step.worse, alpha=alpha) for name in self.step.services}

    @property
    def since(self) -> float:
        """From when on seconds are wanted."""
        return self.started_at - BEFORE_S

    def count(self, second: UserSecond) -> None:
        """Take one second of one service; one with lost records is no evidence for or against."""
        if second.service not in self._compared:
            return
        if second.lost:
            # Each second comes once for every service.
            self.lost_s += second.service == self.step.services[0] and second.at >= self.started_at
            return
        compared = self._compared[second.service]
        if second.at < math.floor(self.started_at):
            compared.before(second.users, second.bad_users)
        elif second.at >= math.ceil(self.started_at):
            self.intact.add(second.at)
            if compared.since(second.users, second.bad_users) and not self._worse:
                self._worse = second.service

    def failure(self, now: float) -> StepFailed | None:
        """Return why the flag must go back, if it must."""
        step = self.step
        if self._worse:
            met = self._compared[self._worse]
            text = (
                f"at {step.stage} of flag {step.flag} {met.bad} of {met.users} users of {self._worse} met a failure, "
                f"before it {met.bad_before} of {met.users_before}"
            )
            return StepFailed("flag-worse", text, f"hitless logs {self._worse}")
        blind_since = max(self.intact, default=self.started_at) if self._observed else self.started_at
        if step.evidence == "observed" and now >= max(blind_since, self.resumed_at) + step.no_evidence_s:
            text = f"no user was seen at {step.stage} of flag {step.flag} in {format_duration(step.no_evidence_s)}"
            return StepFailed("no-evidence", text, "send it traffic, or say `evidence: none` in the change file")
        return None

    def done(self, now: float) -> bool:
        """Tell whether the stage was watched for long enough."""
        step = self.step
        if step.evidence == "none":
            return now >= self.started_at + step.bake_s
        return self._observed and len(self.intact) >= step.bake_s

    def holds(self, now: float) -> bool:
        """Tell whether only evidence is missing."""
        return now >= self.started_at + self.step.bake_s + SETTLES_S and not self._observed

    def numbers(self, failure: StepFailed | None) -> dict[str, object]:
        """Write down what was found, in the form of every watch: the time before stands for the baseline."""
        verdict = "worse" if self._worse else "undecided" if self._observed else "no evidence"
        compared = list(self._compared.values())
        before = {
            "users": sum(met.users_before for met in compared),
            "bad_users": sum(met.bad_before for met in compared),
        }
        return {
            "service": f"flag {self.step.flag} at {self.step.stage}",
            "verdict": verdict,
            "canary": {"users": sum(met.users for met in compared), "bad_users": sum(met.bad for met in compared)},
            "baseline": before,
            "seconds": {"seen": len(self.intact), "lost": self.lost_s},
            "reason": failure.text if failure else "" if self._observed else "a user of one of its services",
            "goes_back": failure is not None,
        }

    @property
    def _observed(self) -> bool:
        return any(met.users for met in self._compared.values())
