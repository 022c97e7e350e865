"""Asks those who measure for a change before it begins: what they would never answer, a plan need not wait for."""

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from hitless.app.facts import Facts
from hitless.app.guarding import loads_of, metrics_of
from hitless.app.proposal import Proposal, joined
from hitless.plan.change import Change, ServiceChange
from hitless.plan.plan import Refusal
from hitless.signals.metrics import BrokenQuery, Counters, Load, Measured, Metric, Samples, Source
from hitless.signals.prometheus import resolves

ANSWER_S = 10.0  # for all questions of a plan together
VERSIONS_TOLD = 5
_RATE = re.compile(r"\b(i?rate|increase|i?delta|deriv)\s*\(")


@dataclass(frozen=True, slots=True)
class Asking:
    """One guard that others measure for, of one service of the change."""

    service: str
    wanted: ServiceChange
    runs: str  # the version that users have now: it is there to be counted
    measured: Metric | Load

    @property
    def key(self) -> str:
        """Return where the guard stands in the change file."""
        return "guards.saturation" if isinstance(self.measured, Load) else f"guards.metrics.{self.measured.name}"

    @property
    def expressions(self) -> Mapping[str, str]:
        """Return what is asked for, by the key that says it."""
        if isinstance(self.measured, Load):
            return {"load": self.measured.load}
        return {"requests": self.measured.requests, "bad": self.measured.bad}


async def asked(change: Change, facts: Facts, sources: Mapping[Source, Counters], now: float) -> Proposal:
    """Return what speaks against the guards of a change that others measure for: refusals, and what one should know.

    An expression that its source takes for none is refused. A source that does not answer now may do so by then, and a
    series may be missing until something is counted: both are said, and refused where a step must have evidence.
    """
    askings = list(_askings(change, facts))
    if not askings:
        return Proposal()
    tasks = [asyncio.ensure_future(_ask(each, sources, now)) for each in askings]
    done, late = await asyncio.wait(tasks, timeout=ANSWER_S)
    for each in late:
        each.cancel()
    return joined(
        task.result() if task in done else _blind(asking, "silent-source", f"nobody answered in {ANSWER_S:g} s")
        for asking, task in zip(askings, tasks, strict=True)
    )


def _askings(change: Change, facts: Facts) -> Iterator[Asking]:
    for service, wanted in change.services.items():
        now = facts.services.get(service)
        if not wanted.ships or now is None or now.baseline is None:
            continue
        version = now.baseline.launch.version
        measured: Sequence[Metric | Load] = (*metrics_of(change.guards, service), *loads_of(change.guards, service))
        for each in measured:
            if each.source != "prometheus" or resolves(each.url):  # what resolves to nothing is refused anyway
                yield Asking(service, wanted, version, each)


async def _ask(asking: Asking, sources: Mapping[Source, Counters], now: float) -> Proposal:
    source, found = sources[asking.measured.source], list(_rates(asking))
    for name, expression in asking.expressions.items():
        try:
            samples = await source.sample(asking.measured, expression, now - asking.measured.lag_s)
        except BrokenQuery as error:
            found.append(_broken(f"{asking.key}.{name}", asking.measured, error))
        except OSError as error:
            return joined([*found, _blind(asking, "silent-source", str(error) or type(error).__name__)])
        else:
            found += _series(asking, name, samples)
    return joined(found)


def _rates(asking: Asking) -> Iterator[Proposal]:
    """Say where a rate stands in place of a counter: its increase is no number of requests."""
    if isinstance(asking.measured, Load) or asking.measured.source != "prometheus":
        return
    for name, expression in asking.expressions.items():
        if (match := _RATE.search(expression)) is not None:
            why = "hitless takes the increase of a counter itself, so give it the counter"
            yield Proposal(remarks=(f"no-counter: {asking.key}.{name} uses {match[1]}(): {why}",))


def _broken(key: str, measured: Measured, error: BrokenQuery) -> Proposal:
    return Proposal(
        refusals=(
            Refusal(
                code="broken-query",
                text=f"{key} is nothing that {measured.source} can answer: {error}",
                hint=f"correct {key}; how it is written is in docs/guards.md",
            ),
        )
    )


def _series(asking: Asking, name: str, samples: Samples) -> Iterator[Proposal]:
    """Say what is not counted now; nothing bad may just be good, so that is only said."""
    if any(each.version == asking.runs for each in samples.values()):
        return
    if name == "bad":
        if not samples:
            said = f"{asking.key}.bad shows no series: right where nothing has been bad yet, else mind its name"
            yield Proposal(remarks=(f"no-series: {said}",))
        return
    by = asking.measured.by
    there = sorted({each.version for each in samples.values()})[:VERSIONS_TOLD]
    others = f"{len(samples)} series, where {by} is {', '.join(map(repr, there))}" if samples else "no series at all"
    said = f"{name} shows nothing of {asking.service} {asking.runs} ({by} is {asking.runs!r}), but {others}"
    yield _blind(asking, "no-series", said)


def _blind(asking: Asking, rule: str, why: str) -> Proposal:
    """A guard that sees nothing now: said, and refused where the step must have evidence."""
    waits = "the step does not wait for it" if asking.wanted.evidence == "none" else "the step would wait for it"
    text = f"{asking.key}: {why}; {waits}"
    if asking.wanted.evidence == "required" and not asking.wanted.accept_blind:
        hint = "have it measured before, or accept_blind: true"
        return Proposal(refusals=(Refusal(code="blind-guard", text=text, hint=hint),), remarks=(f"{rule}: {text}",))
    return Proposal(remarks=(f"{rule}: {text}",))
