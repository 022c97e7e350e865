"""What JsonLogic calls true, equal, smaller, a number and a text: the rules of JavaScript, as flagd applies them. Pure.

The reference is panzi-json-logic 1.0.1, which openfeature-flagd-core evaluates with; a differential test holds the two
together.
"""

from math import isnan, nan
from typing import Any

_INFINITE = {"inf", "-inf", "+inf", "infinity", "-infinity", "+infinity"}


def truthy(value: Any) -> bool:
    """Tell whether a rule takes the value for true: an empty object is, an empty list and NaN are not."""
    if isinstance(value, dict):
        return True
    if isinstance(value, float) and isnan(value):
        return False
    return bool(value)


def to_number(value: Any) -> float:
    """Read a value as a number; what is none becomes NaN, nothing becomes 0."""
    match value:
        case int() | float():
            return value
        case None | []:
            return 0
        case [only]:
            return to_number(only)
        case str() if value.strip().lower() not in _INFINITE:
            try:
                return float(value)
            except ValueError:
                return nan
        case _:
            return nan


def to_text(value: Any) -> str:
    """Write a value as JsonLogic's `cat` does."""
    match value:
        case str():
            return value
        case float():
            return f"{value:.15g}"
        case int():
            return str(value)
        case None:
            return "null"
        case list():
            return ",".join(map(to_text, value))
        case dict():
            return "[object Object]"
        case _:
            return str(value)


def equals(left: Any = None, right: Any = None, *_more: Any) -> bool:
    """Compare loosely, as `==` does: 1 equals "1"; two lists are equal only when they are the same one."""
    if type(left) is type(right):
        return left is right if isinstance(left, list | dict) else bool(left == right)
    if isinstance(left, int | float):
        return left == to_number(right)
    if isinstance(right, int | float):
        return to_number(left) == right
    if left is None or right is None:
        return False
    if isinstance(left, str) and isinstance(right, list | dict):
        return left == to_text(right)
    if isinstance(right, str) and isinstance(left, list | dict):
        return to_text(left) == right
    return False


def smaller(left: Any, right: Any) -> bool:
    """Tell whether left < right: as texts where one is a text and none a number, else as numbers."""
    if not isinstance(left, int | float) and not isinstance(right, int | float) and _one_is_text(left, right):
        return to_text(left) < to_text(right)
    return to_number(left) < to_number(right)


def smaller_or_same(left: Any, right: Any) -> bool:
    """Tell whether left <= right, by the rule of `smaller`."""
    if not isinstance(left, int | float) and not isinstance(right, int | float) and _one_is_text(left, right):
        return to_text(left) <= to_text(right)
    return to_number(left) <= to_number(right)


def _one_is_text(left: Any, right: Any) -> bool:
    return isinstance(left, str) or isinstance(right, str)
