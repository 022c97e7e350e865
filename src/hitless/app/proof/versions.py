"""Which versions a declared condition takes: `>=1.1`, `<2`, or exactly `1.1`. Pure."""

import operator
import re
from collections.abc import Callable, Mapping

_COMPARE: Mapping[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
}
_WANTED = re.compile(r"(>=|<=|>|<|==)\s*([0-9][0-9.]*)")


def fits(version: str, condition: str) -> bool:
    """Tell whether a version meets a condition; numbers are compared one by one, anything else letter by letter."""
    wanted = _WANTED.fullmatch(condition.strip())
    if wanted is None:
        return version == condition
    return _COMPARE[wanted[1]](_numbers(version), _numbers(wanted[2]))


def _numbers(version: str) -> tuple[int, ...]:
    numbers = [int(part) for part in re.findall(r"\d+", version)]
    while numbers and numbers[-1] == 0:  # 1.0 is 1
        numbers.pop()
    return tuple(numbers)
