"""The order of steps: canary, blue-green, rolling, and a change of the number of instances. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from hitless.kit.units import EVERYBODY, NOBODY, Share
from hitless.plan.change import CANARY_STEPS, ServiceChange, Strategy
from hitless.plan.guards import Guards
from hitless.plan.instances import Slot, other
from hitless.plan.step import Step
from hitless.runtime.steps import Check, Launch, Start, Stop
from hitless.signals.metrics import Load, Metric
from hitless.signals.outcomes import Conversion
from hitless.signals.steps import Watch
from hitless.traffic.steps import Admit, Drain, Routing, Shift

DEFAULT_STRATEGY: Strategy = "canary"
DEFAULT_GUARDS = Guards()
LEAST_HORIZON_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ship:
    """New processes take the place of the old ones of one service."""

    routing: Routing  # as it is before
    old: Launch
    old_numbers: tuple[int, ...]
    new: Launch
    new_numbers: tuple[int, ...]
    salt: str
    drain_s: float | None
    change: ServiceChange
    folder: str  # where the system file lies; checks run there
    guards: Guards = DEFAULT_GUARDS
    alpha: float = DEFAULT_GUARDS.alpha  # this service's part of that of the run
    elsewhere: tuple[str, ...] = ()  # other services that users of this one may touch
    metrics: tuple[Metric, ...] = ()  # of this service
    loads: tuple[Load, ...] = ()
    conversion: Conversion | None = None

    @property
    def service(self) -> str:
        """The service that is changed."""
        return self.routing.service

    @property
    def slot(self) -> Slot:
        """Where the new version stands."""
        return other(self.routing.baseline)

    def ship(self) -> Iterator[Step]:
        """Yield the steps until everybody meets the new version."""
        match self.change.strategy or DEFAULT_STRATEGY:
            case "canary":
                return self._canary()
            case "blue-green":
                return self._blue_green()
            case "rolling":
                return self._rolling()

    def retire(self) -> Iterator[Step]:
        """Yield the steps that end the old version; until they begin, going back takes no start."""
        if self.change.strategy != "rolling":
            yield from self._retire(self.old_numbers)

    def _canary(self) -> Iterator[Step]:
        yield from self._prepare(self.new_numbers)
        yield self._admit(self.new_numbers)
        routing = self._before()
        for number, stage in enumerate(self.change.steps or CANARY_STEPS):
            after = self._at(routing, stage)
            yield Shift(before=routing, after=after)
            yield self._watch(after, new_instances=number == 0)
            routing = after

    def _blue_green(self) -> Iterator[Step]:
        yield from self._prepare(self.new_numbers)
        yield self._admit(self.new_numbers)
        after = self._at(self._before(), EVERYBODY)
        yield Shift(before=self._before(), after=after)
        yield self._watch(after)

    def _rolling(self) -> Iterator[Step]:
        """One instance at a time; the share of users follows the share of instances that are new."""
        routing, left, count = self._before(), list(self.old_numbers), len(self.new_numbers)
        for done, number in enumerate(self.new_numbers, 1):
            yield from self._prepare((number,)) if done == 1 else [self._start((number,))]
            yield self._admit((number,))
            share = Share(EVERYBODY.buckets * done // count)
            after = self._at(routing, share)
            yield Shift(before=routing, after=after)
            yield self._watch(after, new_instances=True)
            routing = after
            leaving = len(self.old_numbers) * done // count - (len(self.old_numbers) - len(left))
            gone, left = tuple(left[:leaving]), left[leaving:]
            if gone:
                yield from self._retire(gone)

    def _prepare(self, numbers: tuple[int, ...]) -> Iterator[Step]:
        yield self._start(numbers)
        if self.change.check:
            yield Check(
                service=self.service,
                slot=self.slot,
                command=self.change.check,
                cwd=self.folder,
                timeout_s=self.change.check_timeout,
            )

    def _start(self, numbers: tuple[int, ...]) -> Start:
        return Start(slot=self.slot, numbers=numbers, launch=self.new)

    def _admit(self, numbers: tuple[int, ...]) -> Admit:
        """On the way back the new version gets the same time to end what it has in flight."""
        return Admit(service=self.service, slot=self.slot, numbers=numbers, drain_s=self.drain_s)

    def _retire(self, numbers: tuple[int, ...]) -> Iterator[Step]:
        slot = self.routing.baseline
        yield Drain(service=self.service, slot=slot, numbers=numbers, drain_s=self.drain_s)
        yield Stop(slot=slot, numbers=numbers, launch=self.old, keep_s=self.change.keep)

    def _before(self) -> Routing:
        """The routing of today with everything said that the change needs: who is in the other slot, and the salt."""
        return replace(self.routing.with_version(self.slot, self.new.version), salt=self.salt, share=NOBODY, group="")

    def _at(self, routing: Routing, stage: Share | str) -> Routing:
        if isinstance(stage, str):
            return replace(routing, group=stage)
        if stage == EVERYBODY:
            return replace(routing, baseline=self.slot, share=NOBODY, group="")
        return replace(routing, share=stage)

    def _watch(self, routing: Routing, *, new_instances: bool = False) -> Watch:
        share = EVERYBODY if routing.baseline == self.slot else routing.share
        return Watch(
            service=self.service,
            baseline=self.routing.baseline,
            canary=self.slot,
            share=share,
            group=routing.group,
            bake_s=self.change.bake,
            no_evidence_s=self.change.no_evidence,
            evidence=self.change.evidence,
            alpha=self.alpha,
            warm_up_s=self.guards.warm_up if new_instances and share < EVERYBODY else 0.0,
            errors_worse=self.guards.errors.worse,
            errors_by=self.guards.errors.by,
            latency_worse=self.guards.latency.worse,
            latency_at=self.guards.latency.at,
            elsewhere=self.elsewhere,
            metrics=self.metrics,
            loads=self.loads,
            conversion=self.conversion,
            stages=self._stages(),
            crashes=self.guards.crashes.limit,
            sample_ratio=self.guards.sample_ratio,
            placebo=self.guards.placebo,
            baseline_version=self.old.version,
            canary_version=self.new.version,
            horizon_s=self._horizon_s(),
        )

    def _stages(self) -> int:
        return len(self.change.steps or CANARY_STEPS) if self.change.strategy == "canary" else len(self.new_numbers)

    def _horizon_s(self) -> float:
        """How long all comparisons of this service may take together; evidence of late harm is spread over it."""
        longest_s = self.change.no_evidence if self.change.evidence == "required" else self.change.bake
        return max(longest_s * self._stages(), LEAST_HORIZON_S)


def resize(routing: Routing, launch: Launch, now: tuple[int, ...], count: int, drain_s: float | None) -> Iterator[Step]:
    """Yield the steps to another number of instances of the same version."""
    slot, service = routing.baseline, routing.service
    added = tuple(sorted(set(range(1, count + len(now) + 1)) - set(now)))[: max(0, count - len(now))]
    if added:
        yield Start(slot=slot, numbers=added, launch=launch)
        yield Admit(service=service, slot=slot, numbers=added, drain_s=drain_s)
    if leaving := tuple(sorted(now)[count:]):
        yield Drain(service=service, slot=slot, numbers=leaving, drain_s=drain_s)
        yield Stop(slot=slot, numbers=leaving, launch=launch, keep_s=0.0)
