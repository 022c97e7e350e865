"""The flags of a change: one step per stage, the next when the clients have acknowledged. Pure."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from hitless.app.proposal import Proposal
from hitless.flags.bucketing import Bucketing
from hitless.flags.languages import Seen, check_languages
from hitless.flags.stages import Cohort, Members, at_stage, canonical, parse_stages
from hitless.flags.steps import Bake, Stage
from hitless.kit.errors import InvalidInput, Refused
from hitless.kit.units import format_duration
from hitless.plan.change import Change, FlagChange
from hitless.plan.plan import Refusal
from hitless.plan.step import Step
from hitless.plan.system import System


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagsNow:
    """The flags as they are served, and who has them."""

    definitions: Mapping[str, str] = field(default_factory=dict)  # flag -> canonical JSON; what is not here is no flag
    groups: Mapping[str, Members] = field(default_factory=dict)
    clients: tuple[Seen, ...] = ()
    bucketing: Bucketing = "v3"


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagsPart:
    """Plans the flags of one change."""

    system: System
    change: Change
    now: FlagsNow = FlagsNow()

    def propose(self) -> Proposal:
        """Return the steps, with every reason against them that can be seen now."""
        steps: list[Step] = []
        refusals: list[Refusal] = []
        for key, wanted in self.change.flags.items():
            try:
                found = list(self._steps(key, wanted))
                refusals += self._against(key, wanted, found)
                steps += found
            except (InvalidInput, Refused) as error:
                refusals.append(Refusal(code=error.code, text=f"flags.{key}: {error.text}", hint=error.hint))
        return Proposal(
            widen=tuple(steps),
            refusals=tuple(refusals),
            remarks=tuple(self._remark(key, wanted) for key, wanted in self.change.flags.items()),
            claims=frozenset(f"flag {key}" for key in self.change.flags),
        )

    def _steps(self, key: str, wanted: FlagChange) -> Iterator[Step]:
        stages = parse_stages(wanted.stages, self.now.groups)
        group = stages[0] if stages[0] in self.now.groups else ""
        cohort: Cohort = "change" if wanted.cohort == "same as change" else "own"
        before = self.now.definitions.get(key, "")
        stage_before = "as it was" if before else "not defined"
        for stage in stages:
            base = json.loads(before) if before else None
            after = canonical(at_stage(base, stage, group=group, groups=self.now.groups, cohort=cohort))
            yield Stage(flag=key, before=before, after=after, stage_before=stage_before, stage=stage)
            yield Bake(
                flag=key,
                stage=stage,
                services=tuple(self.system.services),
                bake_s=wanted.bake,
                evidence="none" if wanted.evidence == "none" else "observed",
                no_evidence_s=wanted.no_evidence,
                worse=max(self.change.guards.errors.worse, LEAST_WORSE),
                alpha=self.change.guards.alpha / len(stages) / len(self.change.flags),
            )
            before, stage_before = after, stage

    def _against(self, key: str, wanted: FlagChange, steps: list[Step]) -> Iterator[Refusal]:
        if wanted.evidence == "required":
            text = (
                f"flags.{key}: evidence: required needs two versions side by side, and a flag has only the time before"
            )
            yield Refusal(code="no-baseline", text=text, hint="say evidence: observed, or ship the code as a canary")
        if wanted.cohort == "same as change" and not any(each.ships for each in self.change.services.values()):
            text = f"flags.{key}: cohort: same as change, and the change ships no service: there is no cohort"
            yield Refusal(code="no-cohort", text=text, hint="leave cohort out: the flag then has users of its own")
        if json.loads(self.now.definitions.get(key) or "{}").get("state") == "DISABLED":
            text = f"flags.{key}: the flag is killed"
            yield Refusal(code="flag-killed", text=text, hint=f"hitless flags set {key} --revive")
        if any(isinstance(step, Stage) and step.splits for step in steps):
            check_languages(self.now.clients, self.now.bucketing, key)

    def _remark(self, key: str, wanted: FlagChange) -> str:
        made = "" if key in self.now.definitions else "nobody has defined it, so it is made (boolean, off); "
        return (
            f"flag {key}: {made}stages {' '.join(wanted.stages)}, bake {format_duration(wanted.bake)}, "
            f"evidence {wanted.evidence}, cohort {wanted.cohort}; "
            f"each stage waits for the clients that are connected, now {len(self.now.clients)}"
        )


LEAST_WORSE = 1.5  # against the time before, not against users of the same moment: small differences mean nothing
