"""How the world stands between two steps: what a run must bring about, and what it must bring back. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from hitless.app.facts import Facts
from hitless.database.steps import Contract, Expand, Withdraw
from hitless.flags.steps import Stage
from hitless.kit.units import Share
from hitless.plan.instances import InstanceId, Slot
from hitless.plan.step import Step
from hitless.runtime.steps import Launch, Start, Stop
from hitless.traffic.steps import Admit, Drain, Routing, Shift

Meets = tuple[Slot, Share, str, str]  # baseline, share, group, version of the baseline


def meets(routing: Routing) -> Meets:
    """Return what users can tell of a routing: an empty slot's version and a salt without a share are nothing."""
    return (routing.baseline, routing.share, routing.group, routing.version(routing.baseline))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """Everything that a change can change."""

    routings: Mapping[str, Routing] = field(default_factory=dict)
    running: Mapping[InstanceId, Launch] = field(default_factory=dict)
    ready: frozenset[InstanceId] = frozenset()  # take requests
    kept: frozenset[InstanceId] = frozenset()  # run on for an instant return, and may be gone
    schemas: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    flags: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, facts: Facts) -> Self:
        """Return what runs now; whoever stands in a slot that takes users takes requests."""
        running = {
            InstanceId(name, slot, number): there.launch
            for name, now in facts.services.items()
            for slot, there in now.slots.items()
            for number in there.numbers
        }
        ready = frozenset(each for each in running if facts.services[each.service].routing.serves(each.slot))
        return cls(
            routings={name: now.routing for name, now in facts.services.items()},
            running=running,
            ready=ready,
            kept=frozenset(running) - ready,
        )

    def after(self, step: Step) -> "Stand":
        """Return how it stands once a step is done."""
        match step:
            case Start():
                started = dict.fromkeys(step.instances, step.launch)
                return replace(self, running={**self.running, **started}, kept=self.kept - set(step.instances))
            case Stop() if step.keep_s:
                return replace(self, kept=self.kept | set(step.instances))
            case Stop():
                left = {each: launch for each, launch in self.running.items() if each not in step.instances}
                return replace(self, running=left, kept=self.kept - set(step.instances))
            case Admit():
                return replace(self, ready=self.ready | set(step.instances))
            case Drain():
                return replace(self, ready=self.ready - set(step.instances))
            case Shift():
                return replace(self, routings={**self.routings, step.after.service: step.after})
            case _:
                return self._after_backing(step)

    def _after_backing(self, step: Step) -> "Stand":
        match step:
            case Expand():
                return self._with_schema(step.database, (*self.schemas.get(step.database, ()), step.version))
            case Withdraw():
                there = self.schemas.get(step.database, ())
                return self._with_schema(step.database, tuple(each for each in there if each != step.version))
            case Contract():
                return self._with_schema(step.database, (step.version,))
            case Stage():
                flags = {flag: definition for flag, definition in self.flags.items() if flag != step.flag}
                return replace(self, flags=flags | ({step.flag: step.after} if step.after else {}))
            case _:
                return self

    def _with_schema(self, database: str, versions: tuple[str, ...]) -> "Stand":
        return replace(self, schemas={**self.schemas, database: versions})

    def differs(self, seen: "Stand") -> list[str]:
        """Say where the world that is seen is another one than this."""
        found = [
            f"users of {name} meet {meets(seen.routings[name])}, not {meets(wanted)}"
            for name, wanted in self.routings.items()
            if name not in seen.routings or meets(seen.routings[name]) != meets(wanted)
        ]
        must = {each: launch for each, launch in self.running.items() if each not in self.kept}
        found += [f"{each} does not run" for each in must if each not in seen.running]
        found += [
            f"{each} runs {launch.version}, not {self.running[each].version}"
            for each, launch in seen.running.items()
            if each in self.running and launch != self.running[each]
        ]
        found += [f"{each} runs and nobody wants it" for each in seen.running if each not in self.running]
        found += [f"{each} takes no requests" for each in self.ready - seen.ready]
        found += [f"{each} takes requests" for each in seen.ready - self.ready]
        found += [f"schema of {name}: {seen.schemas.get(name)}" for name in _unlike(self.schemas, seen.schemas)]
        found += [f"flag {name}: {seen.flags.get(name)}" for name in _unlike(self.flags, seen.flags)]
        return sorted(found)


def after_all(start: Stand, steps: Iterable[Step]) -> Stand:
    """Return how it stands after several steps."""
    for step in steps:
        start = start.after(step)
    return start


def _unlike(one: Mapping[str, object], two: Mapping[str, object]) -> list[str]:
    return [name for name in {*one, *two} if one.get(name) != two.get(name)]
