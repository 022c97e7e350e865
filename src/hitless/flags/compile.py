"""Turns a targeting rule into Python source: one function from a context to the name of a variant. Pure.

Nothing of the rule's text reaches the source but as a literal made by `repr`, or through a table of constants.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import Any

from hitless.flags import operators
from hitless.flags.bucketing import NO_HASH, Bucketing, hash_shorthand_v3, hash_v2, hash_v3, shorthand_prefix
from hitless.flags.fractional import fractional, parse_fractions, thresholds
from hitless.flags.operators import OPERATORS, YES_OR_NO
from hitless.flags.values import equals, to_text, truthy

Choose = Callable[[Any], Any]

DEEPEST = 100  # levels of nesting; a rule written by a person has ten
_LEVELS_PER_FUNCTION = 8  # Python's own parser stops at 200 open parentheses
_BRANCHES_PER_FUNCTION = 12
_OVER_LISTS = {
    "filter": "keep",
    "map": "each",
    "all": "holds_for_all",
    "some": "holds_for_some",
    "none": "holds_for_some",
}


class BadRule(ValueError):
    """The rule cannot be evaluated; the message says why."""


def compile_rule(rule: Any, flag: str, bucketing: Bucketing, now: Callable[[], float]) -> Choose:
    """Compile a rule without `$ref`. Raises BadRule for an unknown operator or too deep a nesting."""
    return _Source(flag, bucketing, now).function(rule)


class _Source:
    def __init__(self, flag: str, bucketing: Bucketing, now: Callable[[], float]) -> None:
        self._flag = flag
        self._bucketing = bucketing
        self._lines: list[str] = []
        self._names = 0
        self._scope: dict[str, Any] = {
            "__builtins__": {"str": str, "int": int},
            "equals": equals,
            "truthy": truthy,
            "to_text": to_text,
            "hash_v2": hash_v2,
            "hash_v3": hash_v3,
            "hash_shorthand": hash_shorthand_v3,
            "timestamp": lambda: int(now()),
        }
        self._whole = _whole(flag, now)
        self._sees_whole = False
        for name in ("look_up", "missing", "missing_some", "keep", "each", "fold", "holds_for_all", "holds_for_some"):
            self._scope[name] = getattr(operators, name)

    def function(self, rule: Any) -> Choose:
        """Return the compiled function."""
        name = self._hoist(self._node(rule, 0, root=True))
        exec(compile("\n".join(self._lines), f"<flag {self._flag!r}>", "exec"), self._scope)  # noqa: S102  literals only
        chosen: Choose = self._scope[name]
        whole = self._whole
        return (lambda context: chosen(whole(context))) if self._sees_whole else chosen

    def _name(self, prefix: str) -> str:
        self._names += 1
        return f"{prefix}{self._names}"

    def _hoist(self, expression: str) -> str:
        name = self._name("f")
        self._lines.append(f"def {name}(d): return {expression}")
        return name

    def _constant(self, value: Any) -> str:
        if value is None or value.__class__ in (str, int, bool):
            return f"({value!r})"
        if isinstance(value, list):  # a new list each time: two lists are equal only when they are the same one
            return f"[{', '.join(map(self._constant, value))}]"
        name = self._name("k")
        self._scope[name] = value
        return name

    def _node(self, node: Any, depth: int, *, root: bool) -> str:
        if depth > DEEPEST:
            raise BadRule(f"it is nested deeper than {DEEPEST} levels")
        if isinstance(node, list):
            return f"[{', '.join(self._node(item, depth + 1, root=root) for item in node)}]"
        if not isinstance(node, dict) or len(node) != 1:
            return self._constant(node)
        operator, operands = next(iter(node.items()))
        arguments = operands if isinstance(operands, list) else [operands]
        expression = self._operation(operator, arguments, depth + 1, root=root)
        return (
            f"{self._hoist(expression)}(d)" if depth % _LEVELS_PER_FUNCTION == _LEVELS_PER_FUNCTION - 1 else expression
        )

    def _operation(self, operator: str, arguments: list[Any], depth: int, *, root: bool) -> str:
        match operator:
            case "if" | "?:":
                return self._if(arguments, depth, root=root)
            case "and" | "or":
                return self._and_or(operator, arguments, depth, root=root)
            case "filter" | "map" | "all" | "some" | "none" | "reduce":
                return self._over_list(operator, arguments, depth, root=root)
            case "var" | "missing" | "missing_some":
                return self._look(operator, arguments, depth, root=root)
            case "fractional":
                return self._fractional(arguments, depth, root=root)
            case _ if operator in OPERATORS:
                return self._call(operator, arguments, depth, root=root)
            case _:
                raise BadRule(f"operator {operator!r} is unknown")

    def _test(self, node: Any, depth: int, *, root: bool) -> str:
        expression = self._node(node, depth, root=root)
        plain = isinstance(node, bool) or (isinstance(node, dict) and len(node) == 1 and next(iter(node)) in YES_OR_NO)
        return expression if plain else f"truthy({expression})"

    def _if(self, arguments: list[Any], depth: int, *, root: bool) -> str:
        pairs = [
            (self._test(test, depth, root=root), self._node(then, depth, root=root))
            for test, then in zip(arguments[:-1:2], arguments[1::2], strict=False)
        ]
        last = self._node(arguments[-1], depth, root=root) if len(arguments) % 2 else "None"
        return self._chain(pairs, last)

    def _and_or(self, operator: str, arguments: list[Any], depth: int, *, root: bool) -> str:
        if not arguments:
            return "None"
        wanted = "not " if operator == "and" else ""
        pairs = []
        for argument in arguments[:-1]:
            name = self._name("t")
            value = self._node(argument, depth, root=root)
            pairs.append((f"{wanted}truthy({name} := {value})", name))
        return self._chain(pairs, self._node(arguments[-1], depth, root=root))

    def _chain(self, pairs: list[tuple[str, str]], last: str) -> str:
        """Write `then if test else ...`, long chains over several functions."""
        for position, (test, then) in enumerate(reversed(pairs), start=1):
            last = f"({then} if {test} else {last})"
            if position % _BRANCHES_PER_FUNCTION == 0:
                last = f"{self._hoist(last)}(d)"
        return last

    def _over_list(self, operator: str, arguments: list[Any], depth: int, *, root: bool) -> str:
        if len(arguments) < 2 and operator not in ("map", "reduce"):
            return {"filter": "[]", "none": "True"}.get(operator, "False")
        if not arguments:
            return "[]" if operator == "map" else "None"
        items = self._node(arguments[0], depth, root=root)
        inner = self._hoist(self._node(arguments[1] if len(arguments) > 1 else None, depth, root=False))
        if operator == "reduce":
            start = self._constant(arguments[2] if len(arguments) > 2 else None)  # flagd takes it as it stands
            return f"fold({items}, {inner}, {start})"
        call = f"{_OVER_LISTS[operator]}({items}, {inner})"
        return f"(not {call})" if operator == "none" else call

    def _look(self, operator: str, arguments: list[Any], depth: int, *, root: bool) -> str:
        match arguments:
            case ["$flagd.flagKey"] if root and operator == "var":
                return self._constant(self._flag)
            case ["$flagd.timestamp"] if root and operator == "var":
                return "timestamp()"
            case [str(key)] if root and operator == "var" and key and "." not in key and key != "$flagd":
                return f"d.get({key!r})"
            case [str(key), *_] if operator == "var" and key and key.split(".")[0] != "$flagd":
                pass  # our own names cannot be meant: no need to add them to the context
            case _:
                self._sees_whole |= root
        rest = "".join(f", {self._node(argument, depth, root=root)}" for argument in arguments)
        return f"{'look_up' if operator == 'var' else operator}(d{rest})"

    def _call(self, operator: str, arguments: list[Any], depth: int, *, root: bool) -> str:
        if arguments and all(map(_is_constant, arguments)):
            try:
                return self._constant(OPERATORS[operator](*arguments))
            except (TypeError, ValueError, ArithmeticError):
                pass  # it fails where it is reached, and only there
        values = [self._node(argument, depth, root=root) for argument in arguments]
        name = self._name("o")
        self._scope[name] = OPERATORS[operator]
        if operator == "cat" and 0 < len(arguments) <= _BRANCHES_PER_FUNCTION:
            return f"({' + '.join(map(self._as_text, arguments, values))})"
        match operator, arguments:
            case "==", [_, str()]:
                test = self._name("t")
                asked = f"({test} := {values[0]}).__class__ is str"
                return f"({test} == {values[1]} if {asked} else equals({test}, {values[1]}))"
            case "in", [_, list() as known] if all(isinstance(each, str) for each in known):
                test = self._name("t")
                fast = f"{test} in {self._shared(frozenset(known))}"
                return (
                    f"({fast} if ({test} := {values[0]}).__class__ is str else {name}({test}, {self._shared(known)}))"
                )
            case "starts_with" | "ends_with", [_, str()]:
                test, method = self._name("t"), operator.replace("s_", "s")
                fast = f"{test}.{method}({values[1]})"
                return f"({fast} if ({test} := {values[0]}).__class__ is str else {name}({test}, {values[1]}))"
            case _:
                return f"{name}({', '.join(values)})"

    def _as_text(self, argument: Any, value: str) -> str:
        if isinstance(argument, str):
            return value
        text = self._name("t")
        return f"({text} if ({text} := {value}).__class__ is str else to_text({text}))"

    def _fractional(self, arguments: list[Any], depth: int, *, root: bool) -> str:
        shorthand = bool(arguments) and isinstance(arguments[0], list)
        fractions = arguments if shorthand else arguments[1:]
        parsed = parse_fractions(fractions) if arguments and all(map(_is_constant, fractions)) else None
        if parsed is None or not root:
            return self._dynamic_fractional(arguments, depth, root=root)
        bucket = self._name("h")
        chosen = self._buckets(bucket, thresholds(parsed))
        if shorthand:
            return f"(None if ({bucket} := {self._shorthand_hash()}) < 0 else {chosen})"
        key = self._name("t")
        value = self._node(arguments[0], depth, root=root)
        fast = f"(None if ({bucket} := hash_{self._bucketing}({key})) < 0 else {chosen})"
        slow = f"{self._generic()}(d, {key}, *{self._shared(fractions)})"
        return f"({fast} if ({key} := {value}).__class__ is str else {slow})"

    def _shorthand_hash(self) -> str:
        key = self._name("t")
        hashed = f"hash_v2({self._flag!r} + {key})"
        if self._bucketing == "v3":
            hashed = f"hash_shorthand({self._shared(shorthand_prefix(self._flag))}, {key})"
        return f"({hashed} if ({key} := d.get('targetingKey')) and {key}.__class__ is str else {NO_HASH})"

    def _buckets(self, bucket: str, steps: Iterable[tuple[Any, int]]) -> str:
        pairs = [(f"{bucket} < {end}", self._constant(variant)) for variant, end in steps]
        if len(pairs) <= _BRANCHES_PER_FUNCTION:
            return self._chain(pairs[:-1], pairs[-1][1]) if pairs else "None"
        ends = self._shared([int(test.split(" < ")[1]) for test, _ in pairs])
        variants = self._shared([variant for variant, _ in steps])
        self._scope["position"] = _position
        return f"{variants}[position({ends}, {bucket})]"

    def _dynamic_fractional(self, arguments: list[Any], depth: int, *, root: bool) -> str:
        values = ", ".join(self._node(argument, depth, root=root) for argument in arguments)
        return f"{self._generic()}(d, {values})" if root else f"{self._generic(inner=True)}(d, {values})"

    def _generic(self, *, inner: bool = False) -> str:
        flag, bucketing = self._flag, self._bucketing

        def choose(data: Any, *arguments: Any) -> Any:
            # Inside a list the data is an element: it has no flag key of its own.
            return fractional(data, "" if inner else flag, bucketing, arguments)

        name = self._name("o")
        self._scope[name] = choose
        return name

    def _shared(self, value: Any) -> str:
        name = self._name("k")
        self._scope[name] = value
        return name


def _whole(flag: str, now: Callable[[], float]) -> Callable[[Any], dict[str, Any]]:
    """Return what adds our own names to a context: once for an evaluation, so that the whole equals itself."""

    def whole(context: Any) -> dict[str, Any]:
        own = {"flagKey": flag, "timestamp": int(now())}
        return {**context, "$flagd": own, "targetingKey": context.get("targetingKey")}

    return whole


def _is_constant(node: Any) -> bool:
    if isinstance(node, list):
        return all(map(_is_constant, node))
    return not isinstance(node, dict)


def _position(ends: list[int], bucket: int) -> int:
    return bisect_right(ends, bucket)
