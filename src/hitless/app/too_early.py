"""Why a contract would be too early: who still needs the old side of a database. Pure."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from hitless.app.facts import Facts
from hitless.database.comparing import Differing
from hitless.database.steps import Contract
from hitless.flags.flagset import FlagSet
from hitless.flags.reach import OWN_DEFAULT, in_reach, needs
from hitless.kit.errors import Refused
from hitless.kit.units import format_duration

LISTED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedSet:
    """A set of flags as it is served, and as people keep it."""

    name: str
    served: FlagSet
    kept: FlagSet


def by_time(held_until: float | None, now: float) -> Iterator[Refused]:
    """Yield the hold time that is not over; both are seconds since the epoch."""
    if held_until is not None and now < held_until:
        yield _too_early(
            f"the change holds the old side until {datetime.fromtimestamp(held_until, UTC):%Y-%m-%d %H:%M:%S} UTC, "
            f"for another {format_duration(math.ceil(held_until - now))}",
            "come back then; what was approved beforehand (apply --approve contract) happens by itself",
        )


def by_instances(step: Contract, facts: Facts) -> Iterator[Refused]:
    """Yield the instances that were started on the old side."""
    for name, now in facts.services.items():
        for there in now.slots.values():
            launch = there.launch
            if launch.database == step.database and launch.schema != step.version:
                yield _too_early(
                    f'"{step.database}" still serves {name} {launch.version} ({len(there.numbers)} instances), '
                    f"which uses {launch.schema or 'its tables as they are'}",
                    f"wait until it is gone (hitless status), or move it in a change: "
                    f"services: {{{name}: {{restart: true, schema: {step.version}}}}}",
                )


def by_flags(step: Contract, sets: Sequence[ServedSet], default: str) -> Iterator[Refused]:
    """Yield the variants that somebody can still get: of flags that the change raised, and that declare their need."""
    for each in sets:
        if each.name == default:
            for flag in step.flags:
                yield from _not_at_everyone(flag, each)
        for flag, definition in each.kept.definitions.items():
            for variant, database, version in needs(flag, definition):
                reached = _reached(flag, each) & {variant, OWN_DEFAULT}
                if database == step.database and version != step.version and reached:
                    yield _too_early(
                        f"{_called(flag, each)} still gives {_variant(reached)} to users, "
                        f'and variant "{variant}" needs {version} of "{database}"',
                        f"raise it (hitless flags stage {flag} everyone), or take back what it says it needs "
                        f'(hitless flags set {flag} --needs-schema "")',
                    )


def by_rows(step: Contract, found: Differing) -> Iterator[Refused]:
    """Yield the rows that differed at the last look of rolling verification, by key: values go into no journal."""
    if found.listed:
        shown = ", ".join(f"{each.table} {'/'.join(each.key)}" for each in found.listed[:LISTED])
        number = f"at least {found.total}" if found.at_least else str(found.total)
        yield _too_early(
            f'both sides of "{step.database}" differ in {number} rows: {shown}',
            "correct these rows in the version that is right, then contract again (hitless show has both values)",
        )


def by_clients(names: Sequence[str]) -> Iterator[Refused]:
    """Yield the clients of flags that do not have yet what is served."""
    if names:
        shown = ", ".join(names[:LISTED])
        yield _too_early(
            f"{len(names)} clients do not have the flags yet as they are served: {shown}",
            "wait for them, or end them: hitless flags clients",
        )


def concerns_flags(step: Contract, sets: Sequence[ServedSet]) -> bool:
    """Tell whether any flag has to do with the database of a contract."""
    declared = (
        database for each in sets for flag, it in each.kept.definitions.items() for _, database, _ in needs(flag, it)
    )
    return bool(step.flags) or step.database in declared


def _not_at_everyone(flag: str, each: ServedSet) -> Iterator[Refused]:
    definition = each.kept.definitions.get(flag)
    wanted = next((name for name, value in _variants(definition).items() if value is True), None)
    reached = _reached(flag, each) if definition is not None else frozenset([OWN_DEFAULT])
    if others := reached - {wanted}:
        yield _too_early(
            f"{_called(flag, each)} does not stand at everyone: users still get {_variant(others)}",
            f"raise it first: hitless flags stage {flag} everyone",
        )


def _reached(flag: str, each: ServedSet) -> frozenset[str]:
    definition = each.served.definitions.get(flag)
    if not isinstance(definition, dict) or flag in each.served.bad:
        return frozenset([OWN_DEFAULT])
    return in_reach(definition)


def _variants(definition: object) -> dict[str, object]:
    variants = definition.get("variants") if isinstance(definition, dict) else None
    return variants if isinstance(variants, dict) else {}


def _called(flag: str, each: ServedSet) -> str:
    return f"flag {flag}" if each.name == "default" else f"flag {flag} of set {each.name}"


def _variant(names: frozenset[str]) -> str:
    return " and ".join(
        f'variant "{name}"' if name else "the caller's own default" for name in sorted(names, reverse=True)
    )


def _too_early(text: str, hint: str) -> Refused:
    return Refused("contract-too-early", text, hint)
