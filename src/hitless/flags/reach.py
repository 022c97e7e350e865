"""Which variants of a flag anybody can get now, read from the form of its rule; and which schema they need. Pure.

Where the form does not show what a rule answers, every variant counts: who must be certain errs on that side.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from hitless.kit.errors import InvalidInput

NEEDS_SCHEMA = (
    "needs_schema"  # metadata: which schema version a variant needs, like `off=main/0001_shop, dark=main/0001_shop`
)
OWN_DEFAULT = ""  # no variant: what the caller gave as its default

_Outcomes = frozenset[Any] | None  # None: anything


def in_reach(flag: Mapping[str, Any]) -> frozenset[str]:
    """Return the variants that somebody can get of a flag as it is served; OWN_DEFAULT stands among them."""
    variants, default = flag.get("variants") or {}, flag.get("defaultVariant") or OWN_DEFAULT
    if flag.get("state") != "ENABLED":
        return frozenset([OWN_DEFAULT])
    rule = flag.get("targeting")
    outcomes = _outcomes(rule) if rule else frozenset([None])
    if outcomes is None:
        return frozenset([*variants, OWN_DEFAULT])
    names = {_named(each, default) for each in outcomes}
    return frozenset(each if each in variants else OWN_DEFAULT for each in names)


def _named(outcome: Any, default: str) -> str:
    """A rule may answer by true and false for variants that are called so."""
    if isinstance(outcome, bool):
        return "true" if outcome else "false"
    return default if outcome is None else str(outcome)


def needs(key: str, flag: Any) -> Iterator[tuple[str, str, str]]:
    """Yield what variants need: variant, database, schema version. Raises InvalidInput `flag-needs-schema`."""
    metadata = flag.get("metadata") if isinstance(flag, dict) else None
    text = metadata.get(NEEDS_SCHEMA, "") if isinstance(metadata, dict) else ""
    for each in str(text).split(",") if text else ():
        variant, _, where = (part.strip() for part in each.partition("="))
        database, _, version = where.partition("/")
        if variant not in (flag.get("variants") or {}) or not (database and version):
            hint = "like off=main/0001_shop: a variant, a database, a schema version"
            raise InvalidInput("flag-needs-schema", f"flag {key!r} needs the schema {each.strip()!r}", hint)
        yield variant, database, version


def _outcomes(node: Any) -> _Outcomes:
    match node:
        case None | bool() | int() | float() | str():
            return frozenset([node])
        case {"if": list(branches)}:
            return _branches(branches)
        case {"fractional": list(entries)}:
            sides = [_outcomes(each[0]) for each in entries if isinstance(each, list) and each and each[1:] != [0]]
            return _either([*sides, frozenset([None])])  # nothing for a user without a name
        case _:
            return None


def _branches(branches: list[Any]) -> _Outcomes:
    """Leave out what comes behind a condition that never holds, or before which one always does."""
    reached: list[_Outcomes] = []
    for condition, answer in zip(branches[::2], branches[1::2], strict=False):
        holds = _truth(condition)
        if holds is not False:
            reached.append(_outcomes(answer))
        if holds is True:
            return _either(reached)
    reached.append(_outcomes(branches[-1]) if len(branches) % 2 else frozenset([None]))
    return _either(reached)


def _either(several: Any) -> _Outcomes:
    found: frozenset[Any] = frozenset()
    for each in several:
        if each is None:
            return None
        found |= each
    return found


def _truth(node: Any) -> bool | None:
    """Tell whether a condition holds for everybody (True) or nobody (False); None: it depends."""
    match node:
        case {"and": list(parts)}:
            truths = [_truth(each) for each in parts]
            return False if False in truths else (None if None in truths else True)
        case {"or": list(parts)}:
            truths = [_truth(each) for each in parts]
            return True if True in truths else (None if None in truths else False)
        case {"==": [one, other]}:
            return _equal(_outcomes(one), _outcomes(other))
        case {"in": [_, []]}:
            return False
        case dict() | list():
            return None
        case _:
            return bool(node)


def _equal(one: _Outcomes, other: _Outcomes) -> bool | None:
    if one is not None and other is not None and _loosely(one, other):
        return None
    if one is None or other is None or len(one) > 1 or len(other) > 1:
        return False if one is not None and other is not None and not one & other else None
    return one == other


def _loosely(one: frozenset[Any], other: frozenset[Any]) -> bool:
    """Tell whether a number meets a text, or truth something else: JSON Logic takes 1 for "1", Python does not."""
    kinds = {type(each) for each in one | other if each is not None} - {int, float}
    numbers = any(type(each) in (int, float) for each in one | other)
    return len(kinds) + numbers > 1
