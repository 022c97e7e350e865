"""The operators of a rule that need no data beyond their operands, and the four ways to look into data. Pure."""

from collections.abc import Callable
from math import isnan, nan
from typing import Any

from hitless.flags.semver import compare
from hitless.flags.values import equals, smaller, smaller_or_same, to_number, to_text, truthy


def less(a: Any = None, b: Any = None, c: Any = None, *_more: Any) -> bool:
    """`a < b`, or `a < b < c`."""
    return smaller(a, b) and (c is None or smaller(b, c))


def less_or_same(a: Any = None, b: Any = None, c: Any = None, *_more: Any) -> bool:
    """`a <= b`, or `a <= b <= c`."""
    return smaller_or_same(a, b) and (c is None or smaller_or_same(b, c))


def greater(a: Any = None, b: Any = None, c: Any = None, *_more: Any) -> bool:
    """`a > b`, or `a > b > c`."""
    return smaller(b, a) and (c is None or smaller(c, b))


def greater_or_same(a: Any = None, b: Any = None, c: Any = None, *_more: Any) -> bool:
    """`a >= b`, or `a >= b >= c`."""
    return smaller_or_same(b, a) and (c is None or smaller_or_same(c, b))


def product(*factors: Any) -> float:
    """Multiply; 1 without factors."""
    result: float = 1
    for factor in factors:
        result *= to_number(factor)
    return result


def minus(a: Any = None, b: Any = None, *_more: Any) -> float:
    """Subtract, or negate a single operand."""
    return -to_number(a) if b is None else to_number(a) - to_number(b)


def contains(needle: Any = None, haystack: Any = None, *_more: Any) -> bool:
    """Tell whether a list has the element, or a text the piece."""
    if isinstance(haystack, list):
        return needle in haystack
    return isinstance(haystack, str) and to_text(needle) in haystack


def substring(value: Any = None, start: Any = None, length: Any = None, *_more: Any) -> str:
    """Cut a text; a negative start counts from the end, a negative length leaves that many off."""
    text = to_text(value)
    size = len(text)
    offset = to_number(start)
    if isnan(offset):
        begin = 0
    elif offset < 0:
        begin = 0 if -offset >= size else size - int(-offset)
    else:
        begin = min(int(offset), size)
    if length is None:
        return text[begin:]
    count = to_number(length)
    if isnan(count):
        return ""
    return text[begin : begin + int(count)] if count >= 0 else text[begin : max(begin, size + int(count))]


def merge(*operands: Any) -> list[Any]:
    """Make one list of lists and single values."""
    return [item for operand in operands for item in (operand if isinstance(operand, list) else [operand])]


def starts_with(*operands: Any) -> bool | None:
    """Tell whether a text begins with another; None unless there are two texts."""
    match operands:
        case (str(text), str(piece)):
            return text.startswith(piece)
        case _:
            return None


def ends_with(*operands: Any) -> bool | None:
    """Tell whether a text ends with another; None unless there are two texts."""
    match operands:
        case (str(text), str(piece)):
            return text.endswith(piece)
        case _:
            return None


# Every operator here answers the same to the same operands, so that the compiler may work it out beforehand.
OPERATORS: dict[str, Callable[..., Any]] = {
    "==": equals,
    "!=": lambda *operands: not equals(*operands),
    "===": lambda a=None, b=None, *_more: a == b,
    "!==": lambda a=None, b=None, *_more: a != b,
    "<": less,
    "<=": less_or_same,
    ">": greater,
    ">=": greater_or_same,
    "!": lambda a=None, *_more: not truthy(a),
    "!!": lambda a=None, *_more: truthy(a),
    "+": lambda *terms: sum(map(to_number, terms)),
    "*": product,
    "-": minus,
    "/": lambda a=None, b=None, *_more: to_number(a) / to_number(b),
    "%": lambda a=None, b=None, *_more: to_number(a) % to_number(b),
    "in": contains,
    "min": lambda *terms: min(map(to_number, terms)) if terms else nan,
    "max": lambda *terms: max(map(to_number, terms)) if terms else nan,
    "cat": lambda *parts: "".join(map(to_text, parts)),
    "log": lambda value=None, *_more: value,
    "substr": substring,
    "merge": merge,
    "starts_with": starts_with,
    "ends_with": ends_with,
    "sem_ver": compare,
}

# Their answer is a bool (or None): no need to ask whether it is truthy.
YES_OR_NO = {"==", "!=", "===", "!==", "<", "<=", ">", ">=", "!", "!!", "in", "starts_with", "ends_with", "sem_ver"}


def look_up(data: Any, key: Any = None, default: Any = None, *_more: Any) -> Any:
    """Follow a dotted path into objects, lists and texts; the default where it leads nowhere or to null."""
    if key is None or key == "":
        return data
    if isinstance(key, int | float):
        if not isinstance(data, dict):
            return _element(data, key, default)
        data = data.get(key)
        if data is None:
            return default
    for name in to_text(key).split("."):
        if isinstance(data, dict):
            data = data.get(name)
        elif isinstance(data, list | str) and name == "length":
            return len(data)
        else:
            data = _element(data, _index(name), None)
            if data is None:
                return default
    return default if data is None else data


def _index(name: str) -> int:
    return int(name) if name.isascii() and name.isdigit() and str(int(name)) == name else -1


def _element(data: Any, index: float, default: Any) -> Any:
    if not isinstance(data, list | str) or isnan(index) or index != int(index) or not 0 <= index < len(data):
        return default
    return data[int(index)]


def missing(data: Any, *keys: Any) -> list[Any]:
    """Return the keys whose value is null, empty text or absent."""
    wanted = keys[0] if keys and isinstance(keys[0], list) else keys
    return [key for key in wanted if look_up(data, key) in (None, "")]


def missing_some(data: Any, needed: Any = 0, keys: Any = None, *_more: Any) -> list[Any]:
    """Return the missing keys, or nothing when enough are there."""
    if not isinstance(keys, list):
        return []
    absent = missing(data, keys)
    return [] if len(keys) - len(absent) >= to_number(needed) else absent


Rule = Callable[[Any], Any]


def keep(items: Any, rule: Rule) -> list[Any]:
    """JsonLogic's `filter`."""
    return [item for item in items if truthy(rule(item))] if isinstance(items, list) else []


def each(items: Any, rule: Rule) -> list[Any]:
    """JsonLogic's `map`."""
    return [rule(item) for item in items] if isinstance(items, list) else []


def fold(items: Any, rule: Rule, start: Any) -> Any:
    """JsonLogic's `reduce`: the rule sees `current` and `accumulator`."""
    if not isinstance(items, list):
        return start
    seen = {"accumulator": start}
    for item in items:
        seen["current"] = item
        seen["accumulator"] = rule(seen)
    return seen["accumulator"]


def holds_for_all(items: Any, rule: Rule) -> bool:
    """JsonLogic's `all`: false for an empty list."""
    return isinstance(items, list) and bool(items) and all(truthy(rule(item)) for item in items)


def holds_for_some(items: Any, rule: Rule) -> bool:
    """JsonLogic's `some`."""
    return isinstance(items, list) and any(truthy(rule(item)) for item in items)
