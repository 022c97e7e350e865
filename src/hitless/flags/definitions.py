"""Definitions of flags as documents: one flag changed in a set, what an edit did, what is stale. Pure."""

import difflib
import json
from dataclasses import dataclass

from hitless.flags.flagset import FlagSet
from hitless.flags.stages import canonical
from hitless.kit.errors import InvalidInput

EMPTY = '{"flags": {}}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One change of a set: who, why, and both texts."""

    who: str
    why: str
    flag: str  # empty: the whole set was replaced
    before: str
    after: str
    at: float = 0.0  # seconds since the epoch, the server's clock
    position: int = 0

    def diff(self) -> str:
        """Return the difference in unified form, over indented JSON."""
        name = self.flag or "the set"
        lines = (_lines(self.before), _lines(self.after))
        return "\n".join(difflib.unified_diff(*lines, f"{name} before", f"{name} after", lineterm=""))


def definition(document: str, flag: str) -> str:
    """Return a flag's definition as canonical JSON; empty if the set does not have it."""
    return canonical(FlagSet.parse(document).definitions.get(flag))


def with_flag(document: str, flag: str, changed: str) -> str:
    """Return the set with one flag defined anew, or removed (empty)."""
    read = json.loads(document)
    flags = dict(FlagSet.parse(document).definitions)
    flags.pop(flag, None) if not changed else flags.update({flag: json.loads(changed)})
    return json.dumps({**read, "flags": flags}, indent=2, ensure_ascii=False)


def refuse_bad(served: FlagSet, flag: str) -> None:
    """Raise InvalidInput if one flag of a set would be bad as it is served: an edit makes no bad flags."""
    if flag in served.bad:
        raise InvalidInput("flag-invalid", f"flag {flag!r}: {served.bad[flag]}", "see flagd's flags.json")


def _lines(text: str) -> list[str]:
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False).splitlines() if text else []
    except ValueError:
        return text.splitlines()
