"""What is watched besides errors and latency, in sentences and as data: for a plan. Pure."""

from collections.abc import Iterator
from typing import Any

from hitless.kit.units import format_duration
from hitless.plan.guards import BusinessGuard, Guards, SaturationGuard
from hitless.signals.steps import Watch
from hitless.verdict import conversions_to_see

LOST = {"half": 0.5, "a fifth": 0.2}  # of the conversions: what a plan tells how to see


def others_to_json(guards: Guards) -> dict[str, Any]:
    """Write the other guards as plain data."""
    return {
        "warm_up_s": guards.warm_up,
        "crashes": {"limit": guards.crashes.limit},
        "sample_ratio": guards.sample_ratio,
        "placebo": guards.placebo,
        "business": guards.business and guards.business.model_dump(),
        "saturation": guards.saturation and guards.saturation.model_dump(),
        "metrics": {name: metric.model_dump() for name, metric in guards.metrics.items()},
    }


def others_in_words(guards: Guards, first: Watch) -> Iterator[str]:
    """Say what else is watched, and what it can see at the first step that compares."""
    checks = [("shares of new users", guards.sample_ratio), ("clusters of errors", guards.placebo)]
    told = [f"ends of processes ({guards.crashes.limit} take it back)", *(name for name, wanted in checks if wanted)]
    yield f"also watched: {', '.join(told)}"
    if guards.errors.by == "groups":
        yield "errors: equal groups of users are compared, minute by minute; that takes longer than users"
    if guards.warm_up:
        yield f"the first {format_duration(guards.warm_up)} of new instances are not compared; breaker and crashes are"
    if guards.business is not None:
        yield _business(guards.business, first)
    if guards.saturation is not None:
        yield _saturation(guards.saturation)
    for name, metric in guards.metrics.items():
        yield (
            f"{name}: {metric.bad} of {metric.requests} ({metric.source}), worse than {metric.worse:g}x, "
            f"known {format_duration(metric.lag + metric.every)} later"
        )


def _business(guard: BusinessGuard, first: Watch) -> str:
    who = f"users who {guard.method} to {guard.at} within {format_duration(guard.within)}"
    said = f"business: {who}, {guard.margin:.0%} may be lost"
    if not (split := first.share.fraction):
        return said
    after = ", ".join(
        f"{name} of them lost shows after about {conversions_to_see(lost, split, first.alpha, guard.margin)}"
        for name, lost in LOST.items()
        if lost > guard.margin
    )
    return f"{said}; at {first.share}, {after} users of the new version who would have done so with the old one"


def _saturation(guard: SaturationGuard) -> str:
    full = f"{guard.load} ({guard.source}) at {guard.limit:.0%} or above for {format_duration(guard.long)}"
    return f"saturation: {full} takes the new version back, unless the old one is as full"
