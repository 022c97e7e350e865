"""How many users meet the new side of a change, step by step, and together with the other changes under way. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hitless.app.facts import Facts
from hitless.kit.units import EVERYBODY, NOBODY, Share
from hitless.plan.step import Step
from hitless.traffic.steps import Shift


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """One step, and the share of the users of a service that meet the new version from there on (a group on top)."""

    position: int
    service: str
    share: Share
    group: str = ""


def exposures(steps: Iterable[Step]) -> tuple[Exposure, ...]:
    """Return the steps that change who meets the new version."""
    return tuple(
        Exposure(position=position, service=step.after.service, share=_share(step), group=step.after.group)
        for position, step in enumerate(steps)
        if isinstance(step, Shift)
    )


def _share(step: Shift) -> Share:
    return EVERYBODY if step.before.baseline != step.after.baseline else step.after.share


def to_json(found: tuple[Exposure, ...], others: Mapping[str, Share]) -> dict[str, Any]:
    """Write it as plain data; `others` are the shares that the runs under way have now.

    The services of one change share a salt, so their cohorts are the same users and the largest share is the total.
    Another run has a salt of its own: its cohort is independent, and the share of users in both is the product.
    """
    before_all = [each.share for each in found if each.share < EVERYBODY]
    largest = max(before_all, default=NOBODY)
    return {
        "steps": [
            {"position": each.position, "service": each.service, "share": each.share.fraction, "group": each.group}
            for each in found
        ],
        "total_before_everybody": largest.fraction,
        "shared_with": [
            {"run": run, "share": share.fraction, "in_both": round(share.fraction * largest.fraction, 6)}
            for run, share in sorted(others.items())
        ],
    }


def remarks(found: tuple[Exposure, ...], plain: Mapping[str, Any]) -> tuple[str, ...]:
    """Say it in sentences."""
    partly = [each for each in found if each.share < EVERYBODY]
    services = sorted({each.service for each in partly})
    said = []
    if partly:
        most = f"{plain['total_before_everybody'] * 100:g}%"
        same = f"; the cohorts of {' and '.join(services)} are the same users" if len(services) > 1 else ""
        said.append(f"at most {most} of users meet the new side before everybody does{same}")
    for other in plain["shared_with"]:
        now, both = f"{other['share'] * 100:g}%", f"{other['in_both'] * 100:g}%"
        said.append(f"run {other['run']} has {now} of users now; at most {both} are in both")
    return tuple(said)


def exposed_now(facts: Facts, services: Iterable[str]) -> Share:
    """Return the largest share of users that one of these services sends to its other slot now."""
    shares = [facts.services[name].routing.share for name in services if name in facts.services]
    return max(shares, default=NOBODY)
