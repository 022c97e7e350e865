"""What is live at one moment of a run, and what each step makes of it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from hitless.app.facts import Facts
from hitless.database.steps import Contract, Expand, Withdraw
from hitless.flags.steps import Stage
from hitless.plan.instances import SLOTS, Slot
from hitless.plan.step import Step
from hitless.runtime.steps import Launch, Start, Stop
from hitless.traffic.steps import Routing, Shift


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What users and processes can meet at one moment."""

    routings: Mapping[str, Routing] = field(default_factory=dict)  # service -> who meets which version
    running: Mapping[tuple[str, Slot], Launch] = field(default_factory=dict)  # also those that nobody meets
    schemas: Mapping[str, frozenset[str]] = field(default_factory=dict)  # database -> versions of its schema
    flags: Mapping[str, str] = field(default_factory=dict)  # flag -> stage

    @classmethod
    def of(cls, facts: Facts, schemas: Mapping[str, frozenset[str]]) -> Self:
        """Return what is live before a plan begins."""
        return cls(
            routings={name: now.routing for name, now in facts.services.items()},
            running={
                (name, slot): there.launch for name, now in facts.services.items() for slot, there in now.slots.items()
            },
            schemas=schemas,
        )

    def met(self, service: str) -> frozenset[str]:
        """Return the versions of a service that some user can meet."""
        routing = self.routings.get(service)
        if routing is None:
            return frozenset()
        return frozenset(routing.version(slot) for slot in SLOTS if routing.serves(slot) and routing.version(slot))

    def launches(self, service: str) -> tuple[Launch, ...]:
        """Return what runs of a service."""
        return tuple(self.running[service, slot] for slot in SLOTS if (service, slot) in self.running)


def after(state: State, step: Step) -> State:
    """Return what is live once a step is done."""
    match step:
        case Start():
            return replace(state, running={**state.running, (step.launch.service, step.slot): step.launch})
        case Stop():
            return _stopped(state, step)
        case Shift():
            return replace(state, routings={**state.routings, step.after.service: step.after})
        case Expand():
            return _with_schemas(state, step.database, state.schemas.get(step.database, frozenset()) | {step.version})
        case Withdraw():
            return _with_schemas(state, step.database, state.schemas.get(step.database, frozenset()) - {step.version})
        case Contract():
            return _with_schemas(state, step.database, frozenset({step.version}))
        case Stage():
            return replace(state, flags={**state.flags, step.flag: step.stage})
        case _:
            return state


def touched(step: Step) -> tuple[str, ...]:
    """Name what a step can make a difference to: services, databases, flags; everything else stays as it was."""
    match step:
        case Start() | Stop():
            return (f"service {step.launch.service}",)
        case Shift():
            return (f"service {step.after.service}",)
        case Expand() | Withdraw() | Contract():
            return (f"database {step.database}",)
        case Stage():
            return (f"flag {step.flag}",)
        case _:
            return ()


def _with_schemas(state: State, database: str, versions: frozenset[str]) -> State:
    return replace(state, schemas={**state.schemas, database: versions})


def _stopped(state: State, step: Stop) -> State:
    """The version is gone with its last instance; a rolling change stops some while users still meet the others."""
    service, slot = step.launch.service, step.slot
    routing = state.routings.get(service)
    if step.keep_s or (routing is not None and routing.serves(slot)):
        return state
    return replace(state, running={key: launch for key, launch in state.running.items() if key != (service, slot)})
