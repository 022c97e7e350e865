"""Which guards of a change file can see nothing in a step of its plan, and what would let them see. Pure."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hitless.kit.units import format_duration
from hitless.plan.change import Change
from hitless.plan.plan import Refusal
from hitless.plan.step import Step
from hitless.signals.parts import groups
from hitless.signals.steps import Watch
from hitless.verdict.exchangeable import BATCH_S, FEWEST_GROUPS, STAKES, bet

ROUND_S = 10.0  # a bake that is proposed is a multiple of it


@dataclass(frozen=True, slots=True, kw_only=True)
class BlindGuard:
    """A guard that is asked for, and a step in which it can see nothing."""

    rule: str  # a stable name of this finding
    position: int
    step: Watch
    why: str
    needs_s: float | None  # the bake that would do; None: none would

    @property
    def text(self) -> str:
        """Say it in one sentence, with what would do."""
        group = f"group {self.step.group}" if self.step.group and not self.step.share.buckets else ""
        return f"{self.step.service} at {group or self.step.share}: {self.why}{f'; {self.hint}' if self.hint else ''}"

    @property
    def hint(self) -> str:
        """Say what would let the guard see."""
        return f"bake: {format_duration(_rounded(self.needs_s))} would do" if self.needs_s is not None else ""


@dataclass(slots=True)
class _Before:
    """What earlier steps of the same service leave to a guard that goes on over all of them."""

    compared_s: float = 0.0  # warm-up included: users join meanwhile
    baked_s: float = 0.0
    batches: int = 0


def blind_guards(steps: Sequence[Step], change: Change) -> tuple[BlindGuard, ...]:
    """Return every guard that can see nothing in a step, step by step."""
    found: list[BlindGuard] = []
    before: dict[str, _Before] = {}
    for position, step in enumerate(steps):
        if isinstance(step, Watch):
            found += _of_step(position, step, change, before.setdefault(step.service, _Before()))
    return tuple(found)


def _of_step(position: int, step: Watch, change: Change, before: _Before) -> Iterator[BlindGuard]:
    found = [*_loads(step, before)]
    if step.compares:
        found += [*_business(step, before), *_metrics(step), *_samples(step, change), *_groups(step, before)]
        before.compared_s += step.warm_up_s + step.bake_s
    else:
        found += _alone(step, change, compared_before=before.compared_s > 0)
    before.baked_s += step.bake_s
    for rule, why, needs_s in found:
        yield BlindGuard(rule=rule, position=position, step=step, why=why, needs_s=needs_s)


_Found = Iterator[tuple[str, str, float | None]]  # rule, why, the bake that would do


def _loads(step: Watch, before: _Before) -> _Found:
    """A look comes every `every`, is known `lag` later, and full means full at every look for so long."""
    for load in step.loads:
        needs_s = load.lag_s + load.every_s + load.full_s - before.baked_s
        if step.bake_s < needs_s:
            said = f"{load.name} knows after {format_duration(load.lag_s + load.every_s + load.full_s)} at the earliest"
            yield "blind-saturation", f"{said}, and the bake of {format_duration(step.bake_s)} is over before", needs_s


def _business(step: Watch, before: _Before) -> _Found:
    """Users join from the first step on, and count when their time is over."""
    if step.conversion is None:
        return
    within_s = step.conversion.within_s
    if before.compared_s + step.warm_up_s + step.bake_s <= within_s:
        said = f"business counts a user {format_duration(within_s)} after the first request"
        needs_s = within_s + 1.0 - before.compared_s - step.warm_up_s
        yield "blind-business", f"{said}, and the bake of {format_duration(step.bake_s)} is over before", needs_s


def _metrics(step: Watch) -> _Found:
    """A window lies wholly in the step, and is known `lag` later."""
    for metric in step.metrics:
        needs_s = metric.lag_s + 2 * metric.every_s
        if step.bake_s < needs_s:
            said = f"{metric.name} has its first window after {format_duration(needs_s)}"
            waits = "" if step.evidence == "none" else ": the step waits for it"
            over = f"the bake of {format_duration(step.bake_s)} is over before{waits}"
            yield "blind-metric", f"{said}, and {over}", needs_s


def _asked_for_shares(change: Change) -> bool:
    """Whether the file says so; what goes without saying and cannot be is no finding."""
    return change.guards.sample_ratio and "sample_ratio" in change.guards.model_fields_set


def _samples(step: Watch, change: Change) -> _Found:
    if step.group and _asked_for_shares(change):
        yield "blind-sample-ratio", "sample_ratio says nothing where a group comes on top of the share", None


def _groups(step: Watch, before: _Before) -> _Found:
    """Each minute multiplies the evidence by a bounded factor, so even the worst version takes some of them."""
    if step.errors_by != "groups":
        return
    factor = _largest_factor(step)
    if factor <= 1.0:
        yield "blind-groups", "errors by groups needs at least two groups of users: a larger share", None
        return
    least = math.ceil(math.log(1.0 / step.alpha) / math.log(factor))
    before.batches += int(step.bake_s // BATCH_S)
    if before.batches < least:
        needs_s = step.bake_s // BATCH_S * BATCH_S + (least - before.batches) * BATCH_S
        said = f"errors by groups needs at least {least} minutes of comparison, and has {before.batches} by then"
        yield "blind-groups", said, needs_s


def _largest_factor(step: Watch) -> float:
    """Return by how much one minute in which only users of the new version fail can raise the evidence."""
    ours, theirs = groups(step.share, {}, {})
    if len(ours) < 2 or len(ours) + len(theirs) < FEWEST_GROUPS:
        return 1.0
    part = max(STAKES)
    return 1.0 - part + part * bet([1] * len(ours), [0] * len(theirs), 1.0)


def _alone(step: Watch, change: Change, *, compared_before: bool) -> _Found:
    """Without an old version nothing is compared; that is worth a word where it never was, and something was asked."""
    asked = change.guards
    wanted = {
        "business": step.conversion is not None,
        "errors.by groups": step.errors_by == "groups",
        "sample_ratio": _asked_for_shares(change),
        "warm_up": asked.warm_up > 0,
        "crashes below their limit": asked.crashes.limit > 2,
    } | {metric.name: True for metric in step.metrics}
    names = [name for name, is_wanted in wanted.items() if is_wanted]
    if names and not compared_before:
        why = f"no user is left with the old version, so {', '.join(names)} can compare nothing: strategy: canary would"
        yield "no-baseline", why, None


def to_json(found: Sequence[BlindGuard]) -> list[dict[str, Any]]:
    """Write them as plain data."""
    return [
        {
            "rule": each.rule,
            "position": each.position,
            "service": each.step.service,
            "share": each.step.share.fraction,
            "text": each.text,
            "bake_that_would_s": None if each.needs_s is None else _rounded(each.needs_s),
        }
        for each in found
    ]


def remarks(found: Sequence[BlindGuard]) -> tuple[str, ...]:
    """Say them, each with the name of the finding."""
    return tuple(f"{each.rule}: {each.text}" for each in found)


def refusals(found: Sequence[BlindGuard], change: Change) -> Iterator[Refusal]:
    """Yield those of steps that must have evidence; the user may know better (`accept_blind`)."""
    for each in found:
        wanted = change.services.get(each.step.service)
        if each.step.evidence == "required" and not (wanted and wanted.accept_blind):
            yield Refusal(
                code="blind-guard",
                text=each.text,
                hint="change what the guard or the step says, or accept_blind: true",
            )


def _rounded(seconds: float) -> float:
    return math.ceil(seconds / ROUND_S) * ROUND_S
