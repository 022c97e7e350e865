"""Puts the shared rules of `$evaluators` in the place of each `$ref`. Pure."""

from typing import Any

from hitless.flags.compile import DEEPEST, BadRule

LARGEST_RULE = 100_000  # nodes after all references are put in; a few lines of nested references can mean billions


def inline(rule: Any, shared: dict[str, Any]) -> Any:
    """Return the rule without references. Raises BadRule for an unknown or circular one, or when it grows too large."""
    return _Inliner(shared).put_in(rule, (), 0)


class _Inliner:
    def __init__(self, shared: dict[str, Any]) -> None:
        self._shared = shared
        self._nodes = 0

    def put_in(self, node: Any, path: tuple[str, ...], depth: int) -> Any:
        self._nodes += 1
        if self._nodes > LARGEST_RULE or depth > 2 * DEEPEST:
            raise BadRule(f"with its references it has more than {LARGEST_RULE} parts or {DEEPEST} levels")
        match node:
            case {"$ref": str(name), **rest} if not rest:
                if name in path:
                    raise BadRule(f"$ref is circular: {' -> '.join((*path, name))}")
                if name not in self._shared:
                    raise BadRule(f"$ref {name!r} is not in $evaluators")
                return self.put_in(self._shared[name], (*path, name), depth + 1)
            case dict():
                return {key: self.put_in(value, path, depth + 1) for key, value in node.items()}
            case list():
                return [self.put_in(item, path, depth + 1) for item in node]
            case _:
                return node
