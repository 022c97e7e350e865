"""A plan as data: the steps in their order, and what speaks against them. Pure."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from hitless.kit.errors import InvalidInput
from hitless.plan.change import OnFailure
from hitless.plan.document import decode
from hitless.plan.step import Step, encode

Kinds = Mapping[str, type[Any]]  # what a step may be: its kind -> its class


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One reason why a plan must not be carried out, and what to do about it."""

    code: str
    text: str
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one change would do to the system as it is now."""

    change: str
    why: str
    source: str  # the text of the change file
    claims: tuple[str, ...]  # what no other run may touch meanwhile: services and their callers
    steps: tuple[Step, ...]
    gate: int | None = None  # the steps from this position on wait until somebody approves them
    on_failure: OnFailure = "take back"
    refusals: tuple[Refusal, ...] = ()
    remarks: tuple[str, ...] = ()  # what a person should know: defaults taken, forecasts
    proof: Mapping[str, Any] = field(default_factory=dict)  # which pairs are live at once, and why each works
    exposure: Mapping[str, Any] = field(default_factory=dict)  # how many users meet the new side, step by step
    guards: Mapping[str, Any] = field(default_factory=dict)  # what is watched, and what each watch will see

    @property
    def hash(self) -> str:
        """Name exactly these steps; it changes when the change file or the running system does."""
        plain = json.dumps([encode(step) for step in self.steps], sort_keys=True)
        return hashlib.sha256(f"{self.change}\n{self.gate}\n{self.on_failure}\n{plain}".encode()).hexdigest()

    @property
    def no_way_back(self) -> int | None:
        """The position of the first step that cannot be undone without loss; None if there is none."""
        return next((position for position, step in enumerate(self.steps) if step.point_of_no_return), None)

    def to_json(self) -> dict[str, Any]:
        """Write the plan as plain data, for the plan file and the journal."""
        return {
            "change": self.change,
            "why": self.why,
            "hash": self.hash,
            "source": self.source,
            "claims": list(self.claims),
            "gate": self.gate,
            "on_failure": self.on_failure,
            "steps": [self._step(position, step) for position, step in enumerate(self.steps)],
            "refusals": [{"code": each.code, "text": each.text, "hint": each.hint} for each in self.refusals],
            "remarks": list(self.remarks),
            "proof": self.proof,
            "exposure": self.exposure,
            "guards": self.guards,
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any], kinds: Kinds) -> Self:
        """Read a plan back. Raises InvalidInput if it is not whole or was changed by hand."""
        try:
            plan = cls(
                change=plain["change"],
                why=plain["why"],
                source=plain["source"],
                claims=tuple(plain["claims"]),
                steps=tuple(_decode_step(each["step"], kinds) for each in plain["steps"]),
                gate=plain["gate"],
                on_failure=plain["on_failure"],
                refusals=tuple(Refusal(**each) for each in plain["refusals"]),
                remarks=tuple(plain["remarks"]),
                proof=plain["proof"],
                exposure=plain["exposure"],
                guards=plain["guards"],
            )
            written = plain["hash"]
        except (KeyError, TypeError, AttributeError) as error:
            raise InvalidInput(
                "broken-plan", f"this is no whole plan: {error!r}", "make it again: hitless plan"
            ) from None
        if plan.hash != written:
            raise InvalidInput("broken-plan", "the plan does not match its hash", "make it again: hitless plan")
        return plan

    @staticmethod
    def _step(position: int, step: Step) -> dict[str, Any]:
        inverse = step.inverse()
        return {
            "position": position,
            "room": step.room,
            "describe": step.describe(),
            "inverse": inverse.describe() if inverse else None,
            "point_of_no_return": step.point_of_no_return,
            "step": encode(step),
        }


def _decode_step(plain: Mapping[str, Any], kinds: Kinds) -> Step:
    kind = kinds[plain["kind"]]
    step: Step = decode(kind, {key: value for key, value in plain.items() if key != "kind"})
    return step
