"""All sets of one system as one text, replaced as a whole; and what is served to who selects no set. Pure."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hitless.flags.bucketing import Bucketing
from hitless.flags.flagset import FlagSet
from hitless.kit.errors import InvalidInput

DEFAULT = "default"
ENVIRONMENT = "@"  # between a set and the environment it is for: shop@staging


@dataclass(frozen=True, slots=True, kw_only=True)
class SetText:
    """One set as it is served: plain flags.json, and the generation by which it splits users."""

    name: str
    bucketing: Bucketing
    text: str


def write_bundle(sets: tuple[SetText, ...]) -> str:
    """Write sets as one text."""
    plain = [{"name": each.name, "bucketing": each.bucketing, "text": each.text} for each in sets]
    return json.dumps({"sets": plain}, ensure_ascii=False)


def read_bundle(text: str) -> dict[str, FlagSet]:
    """Read the sets of a bundle. Raises InvalidInput `bundle-invalid` or `flags-invalid`."""
    try:
        entries = [SetText(**entry) for entry in json.loads(text)["sets"]]
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInput("bundle-invalid", f"this is no bundle of sets: {error!r}", "hitless up writes it") from None
    return {each.name: FlagSet.parse(each.text, each.bucketing) for each in entries}


def version_of(sets: Mapping[str, FlagSet]) -> str:
    """Name exactly these sets: the same content has the same version, in every process."""
    if len(sets) == 1:
        return next(iter(sets.values())).version
    plain = json.dumps([[name, each.version] for name, each in sets.items()])
    return hashlib.sha256(plain.encode()).hexdigest()[:32]


def merged(sets: Mapping[str, FlagSet]) -> FlagSet:
    """Lay the sets over one another: of two flags of one name, the later set's counts.

    Left out are sets of an environment, and sets of another generation than the first: those must be selected.
    """
    bucketing: Bucketing = next((each.bucketing for each in sets.values()), "v3")
    together = [each for name, each in sets.items() if ENVIRONMENT not in name and each.bucketing == bucketing]
    if len(together) == 1:
        return together[0]
    flags: dict[str, Any] = {}
    evaluators: dict[str, Any] = {}
    for each in together:
        evaluators |= json.loads(each.text).get("$evaluators") or {}
        for key, flag in each.definitions.items():
            flags[key] = (
                {**flag, "metadata": {**each.metadata, **(flag.get("metadata") or {})}} if _well(flag) else flag
            )
    return FlagSet.parse(json.dumps({"flags": flags, "$evaluators": evaluators}), bucketing)


def _well(flag: Any) -> bool:
    return isinstance(flag, dict) and isinstance(flag.get("metadata") or {}, dict)
