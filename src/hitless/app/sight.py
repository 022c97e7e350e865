"""What each watch of a plan can see at today's traffic: how long until it would notice a regression. Pure."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hitless.app.facts import Felt
from hitless.app.watched import others_in_words, others_to_json
from hitless.kit.units import format_duration
from hitless.plan.change import Change
from hitless.plan.plan import Refusal
from hitless.plan.step import Step
from hitless.signals.steps import Watch
from hitless.verdict import requests_to_see

RATIOS = (2.0, 5.0)  # a step that cannot see the larger one within its bake is blind
BEYOND = 2.0  # times what is tolerated: looked for where both are tolerated
LEAST_USERS_PER_S = 0.001
ROUND_S = 10.0  # a bake that is proposed is a multiple of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeing:
    """What it takes, on average and at best, to see that users fail so many times as often."""

    ratio: float
    requests: int  # of users of the new version
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """One watch."""

    position: int
    step: Watch
    seen: tuple[Seeing, ...]  # empty: nobody can say

    @property
    def worst(self) -> Seeing | None:
        """What it takes to see the largest ratio that is looked for, x5 as a rule; None where nobody can say."""
        return self.seen[-1] if self.seen else None

    @property
    def blind(self) -> bool:
        """Whether the step moves on before it can see that; unknown is not blind."""
        return self.worst is not None and self.worst.seconds > self.step.bake_s

    @property
    def bake_that_would_s(self) -> float:
        """The shortest round bake that sees it."""
        return math.ceil((self.worst.seconds if self.worst else 0.0) / ROUND_S) * ROUND_S


def sights(steps: Sequence[Step], felt: Mapping[str, Felt]) -> tuple[Sight, ...]:
    """Return what each watch that compares can see."""
    return tuple(
        Sight(position=position, step=step, seen=tuple(_seen(step, felt.get(step.service))))
        for position, step in enumerate(steps)
        if isinstance(step, Watch) and step.compares
    )


def _seen(step: Watch, felt: Felt | None) -> Iterator[Seeing]:
    share = step.share.fraction
    if felt is None or felt.users_per_s < LEAST_USERS_PER_S or not share:
        return
    for ratio in _looked_for(step.errors_worse):
        if ratio * felt.bad_share < 1.0:
            requests = requests_to_see(ratio, felt.bad_share, share, step.alpha, step.errors_worse)
            yield Seeing(ratio=ratio, requests=requests, seconds=requests / (felt.users_per_s * share))


def _looked_for(tolerated: float) -> tuple[float, ...]:
    """Return the ratios that are more than what is tolerated; at least one."""
    return tuple(ratio for ratio in RATIOS if ratio > tolerated) or (BEYOND * tolerated,)


def to_json(found: tuple[Sight, ...], change: Change, felt: Mapping[str, Felt]) -> dict[str, Any]:
    """Write the guards and what they will see as plain data."""
    guards = change.guards
    return {
        "alpha": guards.alpha,
        "errors": {"worse": guards.errors.worse, "by": guards.errors.by},
        "latency": {"worse": guards.latency.worse, "at": guards.latency.at},
        **others_to_json(guards),
        "today": {
            each: {"users_per_s": felt[each].users_per_s, "bad_share": felt[each].bad_share}
            for each in sorted({sight.step.service for sight in found} & set(felt))
        },
        "steps": [
            {
                "position": each.position,
                "service": each.step.service,
                "share": each.step.share.fraction,
                "bake_s": each.step.bake_s,
                "see": {f"x{seen.ratio:g}": {"requests": seen.requests, "seconds": seen.seconds} for seen in each.seen},
                "blind": each.blind,
                "bake_that_would_s": each.bake_that_would_s if each.blind else None,
            }
            for each in found
        ],
    }


def remarks(found: tuple[Sight, ...], change: Change, felt: Mapping[str, Felt]) -> tuple[str, ...]:
    """Say it in sentences: the guards, what they will see, and which steps are blind."""
    if not found:
        return ()
    guards = change.guards
    worse = f"errors worse than {guards.errors.worse:g}x, latency worse than {guards.latency.worse:g}x"
    false = f"{guards.alpha * 100:g}% of healthy changes at most are taken back"
    said = [f"guards: {worse} at {guards.latency.at}, each against the concurrent baseline; {false}"]
    said += others_in_words(guards, next((each.step for each in found if each.step.share.buckets), found[0].step))
    for service in dict.fromkeys(each.step.service for each in found):
        said += _of_service([each for each in found if each.step.service == service], felt.get(service))
    return tuple(said)


def _of_service(found: list[Sight], felt: Felt | None) -> Iterator[str]:
    service = found[0].step.service
    if felt is None or felt.users_per_s < LEAST_USERS_PER_S:
        yield f"{service}: no users at present, so nobody can say what its steps will see"
        return
    bad = f"{felt.bad_share * 100:.2g}%" if felt.bad else f"less than {felt.bad_share * 100:.2g}%"
    yield f"{service}: {felt.users_per_s:.3g} requests/s of users at present, {bad} of them bad"
    worse = found[0].step.errors_worse
    if tolerated := [f"x{ratio:g}" for ratio in RATIOS if ratio <= worse]:
        told = f"{' and '.join(tolerated)} {'are' if len(tolerated) > 1 else 'is'} tolerated"
        yield f"{service}: {told} (errors.worse: {worse:g}x), and not looked for"
    for each in found:
        if not each.step.share.buckets:
            yield f"{service} for {each.step.group}: nobody can say what a group will see, it has no share of the users"
            continue
        who = f"{service} at {each.step.share}"
        if not each.seen:
            yield f"{who} sees nothing that is so many times as bad: too much is bad already"
        if each.seen:
            times = ", ".join(
                f"x{seen.ratio:g} after about {seen.requests} requests of the new version ({_about(seen.seconds)})"
                for seen in each.seen
            )
            longer = "; groups take longer" if each.step.errors_by == "groups" else ""
            yield f"{who} sees {times}{longer}"
        if each.worst and each.blind:
            bake = format_duration(each.step.bake_s)
            yield (
                f"{who} is blind: in its bake of {bake} it cannot see x{each.worst.ratio:g}; "
                f"bake: {format_duration(each.bake_that_would_s)} would"
            )


def refusals(found: tuple[Sight, ...], change: Change) -> Iterator[Refusal]:
    """Yield the steps that must wait for evidence which cannot come in time."""
    for each in found:
        wanted = change.services.get(each.step.service)
        if each.step.evidence != "required" or each.worst is None or (wanted and wanted.accept_blind):
            continue
        if each.worst.seconds > each.step.no_evidence_s:
            yield Refusal(
                code="blind-step",
                text=f"{each.step.service} at {each.step.share} waits for evidence for at most "
                f"{format_duration(each.step.no_evidence_s)}, and at today's traffic even x{each.worst.ratio:g} takes "
                f"about {_about(each.worst.seconds)}",
                hint=f"no_evidence: {format_duration(each.bake_that_would_s)}, a larger share, or accept_blind: true",
            )


def _about(seconds: float) -> str:
    return format_duration(max(1.0, seconds))
