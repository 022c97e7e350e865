"""From a change and the system as it runs to a plan, or to the reasons why not. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from hitless.app import blind_guards, sight
from hitless.app.exposure import exposures, remarks
from hitless.app.exposure import to_json as exposure_json
from hitless.app.facts import Felt
from hitless.app.proof.proof import Prover
from hitless.app.proof.proof import to_json as proof_json
from hitless.app.proof.state import State
from hitless.app.proposal import Proposal, joined
from hitless.kit.units import Share
from hitless.plan.change import Change
from hitless.plan.plan import Plan, Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Planner:
    """Puts what the parts of one change propose in the one right order."""

    change: Change
    source: str  # the text of the change file
    in_flight: Mapping[str, frozenset[str]]  # run -> what it claims
    start: State  # what is live now
    prover: Prover
    exposed_by: Mapping[str, Share] = field(default_factory=dict)  # run under way -> share of users it has now
    felt: Mapping[str, Felt] = field(default_factory=dict)  # what users feel now, per service

    def plan(self, *parts: Proposal) -> Plan:
        """Return the plan; it holds every reason against it that can be seen now."""
        whole = joined(parts)
        steps = (*whole.reversible, *whole.conclude)
        refusals = [*whole.refusals, *self._taken(whole.claims)]
        if not steps and not refusals:
            refusals.append(Refusal(code="nothing-to-do", text=f"change {self.change.change} changes nothing"))
        proof = self.prover.prove(self.start, steps)
        found = exposures(steps)
        exposure = exposure_json(found, self.exposed_by)
        seen = sight.sights(steps, self.felt)
        blind = blind_guards.blind_guards(steps, self.change)
        unseen = *sight.refusals(seen, self.change), *blind_guards.refusals(blind, self.change)
        told = *sight.remarks(seen, self.change, self.felt), *blind_guards.remarks(blind)
        return Plan(
            change=self.change.change,
            why=self.change.why,
            source=self.source,
            claims=tuple(sorted(whole.claims)),
            steps=steps,
            gate=len(whole.reversible) if whole.needs_approval else None,
            on_failure=self.change.on_failure,
            refusals=(*refusals, *proof.refusals, *unseen),
            remarks=(*whole.remarks, *remarks(found, exposure), *told),
            proof=proof_json(proof),
            exposure=exposure,
            guards=sight.to_json(seen, self.change, self.felt) | {"blind": blind_guards.to_json(blind)},
        )

    def _taken(self, claims: frozenset[str]) -> Iterator[Refusal]:
        for run, others in self.in_flight.items():
            if both := sorted(others & claims):
                yield Refusal(
                    code="run-under-way",
                    text=f"run {run} has {', '.join(both)}",
                    hint=f"wait for it (hitless watch {run}) or take it back (hitless abort {run})",
                )
