"""Versions as `sem_ver` compares them: semantic versioning 2.0, a leading v and short forms allowed. Pure."""

import re
from collections.abc import Callable
from functools import lru_cache
from operator import eq, ge, gt, le, lt, ne
from typing import Any

_VERSION = re.compile(
    r"(?P<major>0|[1-9]\d*)\.(?P<minor>0|[1-9]\d*)\.(?P<patch>0|[1-9]\d*)"
    r"(?:-(?P<pre>(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?"
    r"(?:\+[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*)?",
    re.ASCII,
)
_LONGEST = 256  # characters; no version is longer, and the cache below stays small

Order = tuple[int, int, int, tuple[tuple[int, int, str], ...]]


_RELATIONS: dict[str, Callable[[Order, Order], bool]] = {
    "=": eq,
    "!=": ne,
    "<": lt,
    "<=": le,
    ">": gt,
    ">=": ge,
    "^": lambda left, right: left[0] == right[0],
    "~": lambda left, right: left[:2] == right[:2],
}


def compare(*operands: Any) -> bool | None:
    """Compare `version, operator, version`; None when one is no version or the operator is unknown."""
    if len(operands) != 3:
        return None
    left, relation, right = _order(str(operands[0])), operands[1], _order(str(operands[2]))
    if left is None or right is None or not isinstance(relation, str) or relation not in _RELATIONS:
        return None
    return _RELATIONS[relation](left, right)


@lru_cache(maxsize=1024)
def _order(text: str) -> Order | None:
    """Return a version as a tuple that sorts as semver.org section 11 says."""
    if len(text) > _LONGEST:
        return None
    text = text[1:] if text[:1] in ("v", "V") else text
    numbers = text.split("-")[0].split("+")[0]
    padded = numbers + ".0" * max(0, 2 - numbers.count(".")) + text[len(numbers) :]
    match = _VERSION.fullmatch(padded)
    if match is None:
        return None
    pre = match["pre"]
    words = ((2, 0, ""),) if pre is None else tuple(_word(word) for word in pre.split("."))
    return int(match["major"]), int(match["minor"]), int(match["patch"]), words


def _word(word: str) -> tuple[int, int, str]:
    return (0, int(word), "") if word.isdigit() else (1, 0, word)
