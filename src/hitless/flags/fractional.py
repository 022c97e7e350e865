"""`fractional`: which variant a bucket key falls into, by whole weights. Pure."""

from collections.abc import Iterable, Sequence
from typing import Any

from hitless.flags.bucketing import Bucketing, hash_v2, hash_v3, shorthand_key

LARGEST_TOTAL = 2**31 - 1  # flagd's limit on the sum of the weights

Fraction = tuple[Any, int]  # variant, weight


def fractional(data: Any, flag: str, bucketing: Bucketing, arguments: Sequence[Any]) -> Any:
    """Choose a variant; None where the key, the weights or their total are not as flagd wants them."""
    if not arguments:
        return None
    key, entries = arguments[0], arguments[1:]
    if isinstance(key, list):
        user = data.get("targetingKey")
        if not isinstance(user, str) or not user:
            return None
        key, entries = shorthand_key(bucketing, flag, user), arguments
    if key is None or (fractions := parse_fractions(entries)) is None:
        return None
    hashed = hash_v3(key) if bucketing == "v3" else hash_v2(key)
    if hashed < 0:
        return None
    return next((variant for variant, end in thresholds(fractions) if hashed < end), None)


def parse_fractions(entries: Iterable[Any]) -> list[Fraction] | None:
    """Read `[variant]` or `[variant, weight]`; a weight below 0 counts as 0. None if one is wrong or the total is."""
    fractions = []
    for entry in entries:
        match entry:
            case [variant]:
                fractions.append((variant, 1))
            case [variant, bool()]:
                return None
            case [variant, int(weight)]:
                fractions.append((variant, max(0, weight)))
            case _:
                return None
    return fractions if 0 < sum(weight for _, weight in fractions) <= LARGEST_TOTAL else None


def thresholds(fractions: list[Fraction]) -> list[tuple[Any, int]]:
    """Return each variant with the first hash that is no longer its own: (hash * total) >> 32 without the product."""
    total = sum(weight for _, weight in fractions)
    steps, end = [], 0
    for variant, weight in fractions:
        end += weight
        steps.append((variant, -(-(end << 32) // total)))
    return steps
