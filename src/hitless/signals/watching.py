"""Decides how one Watch step ends: from what users of both versions feel, second by second. Pure.

No data is not good data: a second with lost records does not count towards `bake_s`, and without a user in each arm, or
with a guard on what others measure that has seen nothing, the step holds.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from hitless.kit.units import format_duration
from hitless.plan.instances import InstanceId
from hitless.plan.ports import StepFailed
from hitless.signals.comparison import Comparison, harm_in_words
from hitless.signals.ending import Decision, GoBack, GoOn, Stay
from hitless.signals.ends import Ends
from hitless.signals.felt import Arm, missing_in
from hitless.signals.guards import NO_ENDS
from hitless.signals.harm import WINDOW_S, Harm
from hitless.signals.looks import Looks
from hitless.signals.metrics import Full, Window
from hitless.signals.ports import Second
from hitless.signals.steps import Watch
from hitless.verdict import Needed

NO_EVIDENCE = "no-evidence"
WORSE = "canary-worse"
GUARDS = {"canary-fails": "breaker", "canary-crashes": "crash"}  # code of a failure -> who found it

LONGEST_STEP_S = 30 * 86_400

Finding = Literal["fine", "worse", "undecided", "no evidence", "no baseline"]


@dataclass(slots=True)
class Watching:
    """One Watch step that is going on since `started_at`."""

    step: Watch
    started_at: float  # seconds since the epoch
    position: int = 0  # of the step in its run
    resumed_at: float = 0.0  # when the run was last let go on: while it was held nobody waited for evidence
    canary: Arm = field(default_factory=Arm)
    baseline: Arm = field(default_factory=Arm)
    intact_s: int = 0  # seconds in which nothing was lost
    lost_s: int = 0
    seen_until: float = 0.0  # the end of the last second that was no lost one
    next_at: int = 0  # the first second that was not counted yet
    measured_until: dict[str, float] = field(default_factory=dict)  # by metric: the end of the last window that counted
    void_since: int | None = None  # the second in which the comparison stopped being believed
    one_in: int = 1  # one user in so many is followed, since there are more than the recorder remembers
    trouble: str = ""  # why a source does not answer now; empty: all do
    looks: Looks = field(init=False)  # what others have measured since the step began
    harm: Harm = field(init=False)
    ends: Ends = field(init=False)  # of the old version
    comparison: Comparison = field(init=False)

    def __post_init__(self) -> None:
        self.harm = Harm(service=self.step.service, slot=self.step.canary, crashes=self.step.crashes)
        self.ends = Ends(service=self.step.service, slot=self.step.baseline)
        self.comparison = Comparison(self.step)
        self.looks = Looks(self.step.measured)
        self.seen_until = self.compares_from
        self.next_at = math.ceil(self.started_at)  # the first second that lies wholly in the step
        self.measured_until = {metric.name: self.compares_from for metric in self.step.measured}

    @property
    def compares_from(self) -> float:
        """When the warm-up is over; it was decided before anybody saw how it goes."""
        return self.started_at + self.step.warm_up_s

    @property
    def since(self) -> int:
        """The first second to look at: the breaker wants to see those before the ones that are new."""
        return max(math.ceil(self.started_at), self.next_at - WINDOW_S)

    def is_new(self, second: Second) -> bool:
        """Whether a second was not counted yet."""
        return second.at >= self.next_at

    def count(self, second: Second, windows: tuple[Window | Full, ...] = ()) -> None:
        """Take one closed second; those before the step are ignored, and one that comes again changes nothing.

        `windows`: what others have measured meanwhile, for a second that is new.
        """
        if second.at < self.since:
            return
        self.harm.count(second)
        if not self.is_new(second):
            return
        self.next_at = second.at + 1
        self.one_in = second.one_in.get(self.step.service, 1)
        if second.at < self.compares_from:
            self._ends()  # what ends while it warms up is not compared
            return
        self._compare(second, windows)
        if second.lost or self.harm.outage or not self.harm.ends.known:  # an outage of both says nothing about the new
            self.lost_s += 1
            return
        self.intact_s += 1
        self.seen_until = second.at + 1.0
        self.canary.count(second, self.step.service, self.step.canary)
        self.baseline.count(second, self.step.service, self.step.baseline)

    def _compare(self, second: Second, windows: tuple[Window | Full, ...]) -> None:
        if self.step.compares:
            ends = NO_ENDS if second.lost else self._ends()  # those of a lost second come with the next one
            self.comparison.feed(second, self.step, windows, ends)
        else:
            self.comparison.feed_alone(second, windows)
        self.looks.count(windows)
        self.measured_until |= {each.metric: each.until for each in windows}
        if not self.comparison.void:
            self.void_since = None
        elif self.void_since is None:
            self.void_since = second.at

    def dump(self) -> bytes:
        """Return what a new controller needs to go on with the same test."""
        names = (
            "position",
            "started_at",
            "intact_s",
            "lost_s",
            "seen_until",
            "next_at",
            "measured_until",
            "void_since",
        )
        plain = {name: getattr(self, name) for name in names}
        arms = {"canary": asdict(self.canary), "baseline": asdict(self.baseline)}
        ends = {"canary": self.harm.ends.dump(), "baseline": self.ends.dump()}
        looks, comparison = self.looks.dump(), self.comparison.dump()
        return json.dumps({**plain, **arms, "ends": ends, "looks": looks, "comparison": comparison}).encode()

    def restore(self, kept: bytes) -> None:
        """Go on from what was kept: by this step, or by an earlier one of the same run. Raises ValueError."""
        try:
            plain = json.loads(kept)
            if plain["next_at"] > self.next_at + LONGEST_STEP_S:
                raise ValueError(f"it was kept at {plain['next_at']}, and the step began at {self.started_at}")
            self.comparison.restore(plain["comparison"])
            if (plain["position"], plain.get("started_at")) != (self.position, self.started_at):  # or it begins anew
                self.comparison.next_step(self.step)
                self._measure_on(plain["measured_until"])
                return
            self.canary, self.baseline = Arm(**plain["canary"]), Arm(**plain["baseline"])
            self.intact_s, self.lost_s = plain["intact_s"], plain["lost_s"]
            self.seen_until, self.next_at = plain["seen_until"], plain["next_at"]
            self.measured_until, self.void_since = plain["measured_until"], plain.get("void_since")
            self.looks.restore(plain.get("looks", {}))
            self.harm.ends.restore(plain["ends"]["canary"])
            self.ends.restore(plain["ends"]["baseline"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"this is no watch that was kept: {error!r}") from None

    def _measure_on(self, kept: Mapping[str, float]) -> None:
        """Go on with the loads where an earlier step of the run stopped: how full the new version is knows no step."""
        for load in self.step.loads:
            self.measured_until[load.name] = kept.get(load.name, self.compares_from)

    def _ends(self) -> tuple[tuple[int, int], tuple[int, int]]:
        new, old = self.harm.ends, self.ends
        return (new.take(), new.instances), (old.take(), old.instances)

    def restarted(self, restarts: Mapping[InstanceId, int] | None) -> None:
        """Take the restarts of instances as they stand now; None: nobody can say, and the second is no evidence."""
        self.harm.restarted(restarts)
        self.ends.look(restarts)

    @property
    def observed(self) -> bool:
        """At least one user in each arm; where there is nothing to compare, a second in which nothing was lost.

        And at least one window that counts of each guard on what others measure.
        """
        if self.looks.missing:
            return False
        if not self.step.compares:
            return self.intact_s > 0
        return self.canary.users > 0 and self.baseline.users > 0 and not self.comparison.void

    @property
    def finding(self) -> Finding:
        """Say what is known of the new version by now."""
        if self.reason is not None:
            return "worse"
        if not self.step.compares:
            return "no baseline"
        if self.comparison.is_fine and not self.looks.missing:
            return "fine"
        return "undecided" if self.observed else "no evidence"

    @property
    def reason(self) -> StepFailed | None:
        """Say why the new version must not stay; None: nothing says so."""
        if self.harm.reason is not None or not self.comparison.is_worse:
            return self.harm.reason
        text = harm_in_words(self.comparison.decision, self.step)
        return StepFailed(WORSE, text, f"see what it says: hitless logs {self.step.service}")

    def decide(self, now: float, *, settled: bool = True) -> Decision:
        """Tell what is right at `now`, seconds since the epoch.

        Not settled: seconds that have been are still coming in, so nothing goes on yet; harm is harm at once.
        """
        if (reason := self.reason) is not None:
            return GoBack(failure=reason)
        if self._baked(now, settled=settled):
            return GoOn()
        if settled and now - self._blind_since() >= self.step.no_evidence_s:
            return GoBack(failure=self._no_evidence())
        return Stay(holds=now >= self.compares_from + self.step.bake_s and bool(self.needs), needs=self.needs)

    @property
    def needs(self) -> str:
        """Say what evidence is missing; empty if it only takes time."""
        step = self.step
        if step.evidence == "none":
            return ""
        if not self.intact_s:
            return "a second in which no record is lost"
        if not self.observed:
            if step.compares and self.comparison.void:
                return f"shares that are as they were meant: {self.comparison.void}"
            return " and ".join(self._missing())
        if step.compares and step.evidence == "required" and not self.comparison.is_fine:
            return "a verdict of fine"
        return ""

    def numbers(self, failure: StepFailed | None = None) -> dict[str, Any]:
        """Write down what was found, for the journal; `failure`: why the step goes back."""
        reason = failure or self.reason
        compared = self.comparison.numbers() if self.step.compares else {}
        if self.reason is not None and compared:
            compared |= {"users_needed": 0, "needed": Needed(0)._asdict()}  # it is decided, by whatever guard
        return {
            "verdict": "no evidence" if reason and reason.code == NO_EVIDENCE else self.finding,
            "service": self.step.service,
            "guard": self._guard(reason),
            "canary": self.canary.numbers(),
            "baseline": self.baseline.numbers() if self.step.compares else None,
            "seconds": {"seen": self.intact_s, "lost": self.lost_s},
            "restarts": self.harm.ends.total,
            **compared,
            **({"one_in": self.one_in} if self.one_in > 1 else {}),
            **({"source": self.trouble} if self.trouble else {}),
            "reason": reason.text if reason else self.needs,
            "goes_back": reason is not None,
        }

    def _guard(self, reason: StepFailed | None) -> str:
        """Name the guard that found the reason."""
        if reason is None:
            return ""
        return self.comparison.decision.guard if reason.code == WORSE else GUARDS.get(reason.code, "")

    def _baked(self, now: float, *, settled: bool) -> bool:
        step = self.step
        if not settled:
            return False
        if step.evidence == "none":
            return now >= self.compares_from + step.bake_s
        waits = step.compares and step.evidence == "required" and not self.comparison.is_fine
        return self.observed and self.intact_s >= step.bake_s and not waits

    def _blind_since(self) -> float:
        """Since when there has been nothing to go by, and the run was not held."""
        if self.step.evidence == "none":
            return math.inf
        measured = self.compares_from + self.looks.due_s if self.looks.missing else math.inf
        return max(self.resumed_at, min(measured, self._felt_until()))

    def _felt_until(self) -> float:
        """Since when users have told nothing."""
        if not self.step.compares:
            return self.seen_until
        if self.step.evidence == "required" and not self.comparison.is_fine:
            return self.compares_from
        if self.void_since is not None:
            return self.void_since
        return self.compares_from if self._missing_users() else self.seen_until

    def _missing(self) -> list[str]:
        """Name what has not been seen yet."""
        windows = [f"a window of {name} that counts" for name in self.looks.missing]
        return [*self._missing_users(), *windows] if self.step.compares else windows

    def _missing_users(self) -> list[str]:
        return missing_in(self.canary, "canary", self._hint()) + missing_in(self.baseline, "baseline")

    def _hint(self) -> str:
        """How many requests it takes until one is likely to be of the new version."""
        share = self.step.share.fraction
        return f" (about {math.ceil(1 / share)} requests)" if share else ""

    def _no_evidence(self) -> StepFailed:
        step, trouble = self.step, f" ({self.trouble})" if self.trouble else ""
        return StepFailed(
            NO_EVIDENCE,
            f"the new version of {step.service}: no evidence in {format_duration(step.no_evidence_s)}; "
            f"it still needs {self.needs or 'seconds in which no record is lost'}{trouble}",
            "send it traffic, mend what measures it, or say `evidence: none` in the change file",
        )
