"""The services of a change: what is shipped, by which strategy, and what speaks against it. Pure."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from hitless.app.facts import Facts, ServiceNow
from hitless.app.guarding import conversion_of, loads_of, metrics_of
from hitless.app.proposal import Proposal
from hitless.app.schema_choice import SchemaChoice
from hitless.app.strategies import DEFAULT_STRATEGY, Ship, resize
from hitless.kit.units import Share, format_duration
from hitless.plan.change import CANARY_STEPS, Change, ServiceChange
from hitless.plan.plan import Refusal
from hitless.plan.step import Step
from hitless.plan.system import Service, System, near
from hitless.runtime.steps import Launch
from hitless.verdict import spend

ELSEWHERE_LIMIT = 24  # other services in which the users of both versions are compared: a verdict keeps 64 KiB
HEADROOM = 1.25  # of the memory that instances use now: new ones start cold and grow

LaunchOf = Callable[
    [str, Service, str, str | None], Launch
]  # (service, its section, version, schema) -> how to start it
Missing = Callable[[Launch], Refusal | None]  # what a launch needs and this machine lacks


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicesPart:
    """Plans the services of one change; called ones first."""

    system: System
    facts: Facts
    folder: str  # where the system file lies
    launch_of: LaunchOf
    missing: Missing
    resolves: Callable[[str], bool]  # whether a URL of those who measure, or the variable that it names, is one here
    change: Change
    schemas: SchemaChoice = field(default_factory=SchemaChoice)

    def propose(self) -> Proposal:
        """Return the steps, with every reason against them that can be seen now."""
        named = [name for name in self.system.callees_first() if name in self.change.services]
        refusals = [*self._unknown(), *self._unmeasured()]
        ship: list[Step] = []
        retire: list[Step] = []
        for name in named:
            found = list(self._against(name, self.change.services[name]))
            refusals += found
            if not found:
                first, last = self._steps(name)
                ship += first
                retire += last
        return Proposal(
            ship=tuple(ship),
            retire=tuple(retire),
            refusals=(*refusals, *self._too_little_memory(named)),
            remarks=tuple(remark for name in named for remark in self._remarks(name, self.change.services[name])),
            claims=frozenset(claim for name in named for claim in (name, *self.system.callers_of(name))),
        )

    def _unknown(self) -> Iterator[Refusal]:
        for name, wanted in self.change.services.items():
            if name not in self.system.services:
                text = f"{name!r} is no service of {self.system.system}"
                yield Refusal(code="unknown-service", text=text, hint=near(name, self.system.services))
            for stage in wanted.steps or ():
                if isinstance(stage, str) and stage not in self.system.groups:
                    text = f"services.{name}.steps names {stage!r}, which is no group of {self.system.system}"
                    yield Refusal(code="unknown-group", text=text, hint=near(stage, self.system.groups))
        business = self.change.guards.business
        if business is not None and business.at not in self.system.services:
            text = f"guards.business.at names {business.at!r}, which is no service of {self.system.system}"
            yield Refusal(code="unknown-service", text=text, hint=near(business.at, self.system.services))

    def _unmeasured(self) -> Iterator[Refusal]:
        """A guard that nobody measures for would hold every step; the value of a variable is a secret."""
        guards = self.change.guards
        asked = {f"metrics.{name}": each.url for name, each in guards.metrics.items()}
        asked |= {"saturation": guards.saturation.url} if guards.saturation is not None else {}
        for key, url in asked.items():
            if url is not None and not self.resolves(url):
                text = f"guards.{key}.url is {url}, and hitless has no http:// or https:// URL in that variable"
                name = url.removeprefix("env:")
                yield Refusal(code="no-metrics-url", text=text, hint=f"set {name} where hitless up is called")

    def _against(self, name: str, wanted: ServiceChange) -> Iterator[Refusal]:
        now = self.facts.services.get(name)
        if now is None or now.baseline is None:
            yield Refusal(code="service-down", text=f"{name} does not run", hint="start it: hitless up")
            return
        if wanted.to == now.baseline.launch.version and not self._edits(wanted):
            text = f"{name} runs {wanted.to} already"
            yield Refusal(code="same-version", text=text, hint="restart: true replaces its processes all the same")
        if wanted.ships and (lacking := self.missing(self._new_launch(name, wanted, now))) is not None:
            yield lacking
        yield from self.schemas.against(name, self.system.services[name], wanted)

    @staticmethod
    def _edits(wanted: ServiceChange) -> bool:
        return wanted.restart or any((wanted.instances, wanted.run, wanted.cwd, wanted.env, wanted.ready))

    def _too_little_memory(self, named: list[str]) -> Iterator[Refusal]:
        """Going back at any moment needs the old instances of all services beside the new ones."""
        counts = {name: self._new_count(name) for name in named if self.change.services[name].ships}
        needed = int(sum(self.facts.resident_bytes.get(name, 0) * count for name, count in counts.items()) * HEADROOM)
        if needed > self.facts.available_bytes:
            news = ", ".join(f"{count} new instances of {name}" for name, count in counts.items())
            yield Refusal(
                code="no-capacity",
                text=f"{news} beside the old ones need about {needed >> 20} MiB, "
                f"and {self.facts.available_bytes >> 20} MiB are free: there would be no way back",
                hint="free memory, or ship fewer instances at a time (strategy: rolling)",
            )

    def _new_count(self, name: str) -> int:
        now = self.facts.services.get(name)
        return self.change.services[name].instances or len(now.baseline.numbers if now and now.baseline else ())

    def _new_launch(self, name: str, wanted: ServiceChange, now: ServiceNow) -> Launch:
        section = self.system.services[name]
        edits = {
            key: getattr(wanted, key) for key in ("run", "cwd", "ready", "drain") if getattr(wanted, key) is not None
        }
        if wanted.env is not None:
            edits["env"] = {**section.env, **wanted.env}
        version = wanted.to or (now.baseline.launch.version if now.baseline else section.version)
        edited, before = section.model_copy(update=edits), now.baseline.launch if now.baseline else None
        return self.launch_of(name, edited, version, self.schemas.of(edited, wanted, before))

    def _steps(self, name: str) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
        """Return the steps until everybody meets the new version, and those that end the old one."""
        wanted, now = self.change.services[name], self.facts.services[name]
        if now.baseline is None:
            return (), ()
        drain = self.system.services[name].drain if wanted.drain is None else wanted.drain
        drain_s = None if drain == float("inf") else drain
        if not wanted.ships:
            count = wanted.instances or len(now.baseline.numbers)
            return tuple(resize(now.routing, now.baseline.launch, now.baseline.numbers, count, drain_s)), ()
        shipping = Ship(
            routing=now.routing,
            old=now.baseline.launch,
            old_numbers=now.baseline.numbers,
            new=self._new_launch(name, wanted, now),
            new_numbers=tuple(range(1, self._new_count(name) + 1)),
            salt=salt_of(self.change.change),
            drain_s=drain_s,
            change=wanted if wanted.strategy else wanted.model_copy(update={"strategy": self._strategy(wanted)}),
            folder=self.folder,
            guards=self.change.guards,
            alpha=spend(self.change.guards.alpha, sum(each.ships for each in self.change.services.values()))[0],
            elsewhere=self.system.nearest(name, ELSEWHERE_LIMIT),
            metrics=tuple(metrics_of(self.change.guards, name)),
            loads=tuple(loads_of(self.change.guards, name)),
            conversion=conversion_of(self.change.guards, name),
        )
        return tuple(shipping.ship()), tuple(shipping.retire())

    @staticmethod
    def _strategy(wanted: ServiceChange) -> str:
        return DEFAULT_STRATEGY if wanted.to else "rolling"

    def _remarks(self, name: str, wanted: ServiceChange) -> Iterator[str]:
        if name not in self.system.services:
            return
        if wanted.ships:
            strategy = wanted.strategy or self._strategy(wanted)
            stages = f", steps {' '.join(map(str, wanted.steps or CANARY_STEPS))}" if strategy == "canary" else ""
            yield (
                f"{name}: {strategy}{stages}, bake {format_duration(wanted.bake)}, evidence {wanted.evidence}, "
                f"no evidence for {format_duration(wanted.no_evidence)} goes back, keep {format_duration(wanted.keep)}"
            )
        drain = self.system.services[name].drain if wanted.drain is None else wanted.drain
        if count := self.facts.long_connections.get(name, 0):
            bound = (
                "are waited for" if drain == float("inf") else f"get {format_duration(drain)} to end, then are closed"
            )
            yield f"{name}: {count} requests, streams and websockets in flight now {bound}"
        if rate := self.facts.requests_per_s.get(name, 0.0):
            strategy = wanted.strategy or self._strategy(wanted)
            exposed = f"; {_exposure(rate, wanted)}" if wanted.ships and strategy == "canary" else ""
            yield f"{name}: {rate:.3g} requests/s at present{exposed}"


def salt_of(change: str) -> str:
    """Return the salt of a change: the same for all its services, and for the same change tried again."""
    return hashlib.sha256(change.encode()).hexdigest()[:8]


def _exposure(rate: float, wanted: ServiceChange) -> str:
    stages = [stage for stage in wanted.steps or CANARY_STEPS if isinstance(stage, Share)]
    first = stages[0]
    return f"the first step of {first} exposes about {rate * first.fraction * wanted.bake:.3g} of them"
