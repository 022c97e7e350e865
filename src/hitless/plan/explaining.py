"""What is wrong with a value in a file, in one sentence that has it, with a way forward. Pure."""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from hitless.kit.errors import InvalidInput

SHOWN = 80  # characters of a value
_BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
_KINDS = {"bool": "true or false", "int": "a whole number", "list": "a list", "tuple": "a list", "dict": "a mapping"}


def explained(
    kind: str, given: object, context: Mapping[str, Any], said: str, *, at: tuple[str, str], known: Sequence[str]
) -> InvalidInput:
    """Return the error for what a check found: its `kind`, the value, and what it `said` where we know no better words.

    `at`: file and line, and the path of keys; `known`: the keys that may stand there.
    """
    place, path = at
    match kind:
        case "extra_forbidden":
            key = path.rpartition(".")[2]
            return InvalidInput("unknown-key", f"{place}{path} is no key that is known here", _meant(key, known))
        case "missing":
            return InvalidInput("missing-key", f"{place}{path} is missing")
        case "string_type":
            hint = f'quote it: "{given}"' if isinstance(given, int | float) else ""
            return InvalidInput("wrong-type", f"{place}{path} must be a text, not {_shown(given)}", hint)
        case "value_error":
            return InvalidInput("invalid-value", f"{place}{path and path + ': '}{context['error']}")
        case "literal_error":
            choices = re.findall(r"'([^']*)'", context["expected"])
            text = f"{place}{path} must be {context['expected']}, not {_shown(given)}"
            return InvalidInput("wrong-type", text, _meant(str(given), choices))
        case "model_type" | "model_attributes_type":
            keys = f"keys that it knows: {', '.join(known)}" if known else ""
            return InvalidInput("wrong-type", f"{place}{path} must be a mapping of keys, not {_shown(given)}", keys)
        case _:
            return InvalidInput("wrong-type", f"{place}{path} {_must(kind, given, context) or f'is wrong: {said}'}")


def _must(kind: str, given: object, context: Mapping[str, Any]) -> str:
    """Say what a value must be; empty where its kind is no common one."""
    bounds = [f"{words} {context[name]}" for name, words in _BOUNDS.items() if name in context]
    if bounds:
        return f"must be {' and '.join(bounds)}, not {_shown(given)}"
    wanted = _KINDS.get(kind.partition("_")[0])
    return f"must be {wanted}, not {_shown(given)}" if wanted else ""


def _meant(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]}?" if near else ""


def _shown(given: object) -> str:
    text = repr(given)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
