"""From a set as people keep it to the flags.json that every client understands. Pure.

Two things are ours: a flag may require others (`"metadata": {"requires": "new-accounts, beta=full"}`), and a rule may
name a group of the system file as a segment (`{"$ref": "staff"}`). Both become ordinary rules. A set that uses neither
is served letter by letter.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from hitless.flags.bucketing import Bucketing
from hitless.flags.compile import BadRule
from hitless.flags.flagset import FlagSet
from hitless.flags.refs import inline
from hitless.flags.stages import Members, member_rule
from hitless.kit.errors import InvalidInput

REQUIRES = "requires"  # metadata: names of flags, each with `=VARIANT` where it is not simply true
PREREQUISITES = 10  # of one flag


def plain(document: str, groups: Mapping[str, Members], bucketing: Bucketing) -> str:
    """Return the set as it is served. Raises InvalidInput `prerequisite` for one that is missing, circular or unfit."""
    read = FlagSet.parse(document)
    whole = json.loads(document)
    shared = dict(whole.get("$evaluators") or {})
    named = {name for node in (*read.definitions.values(), shared) for name in _refs(node)}
    segments = {name: member_rule(groups[name]) for name in sorted(named & set(groups)) if name not in shared}
    tied = [key for key in read.keys if _wanted(key, read.definitions[key])]
    if not segments and not tied:
        return document
    rules = _Rules(read.definitions, shared | segments, bucketing)
    flags = {**read.definitions, **{key: rules.flag(key) for key in tied}}
    evaluators = {"$evaluators": shared | segments} if shared or segments else {}
    return json.dumps({**whole, "flags": flags, **evaluators}, indent=2, ensure_ascii=False)


class _Rules:
    """Puts what a flag requires in front of its own rule."""

    def __init__(self, definitions: Mapping[str, Any], shared: dict[str, Any], bucketing: Bucketing) -> None:
        self._definitions, self._shared, self._bucketing = definitions, shared, bucketing

    def flag(self, key: str) -> dict[str, Any]:
        """Return a flag as it is served: not met means its false variant, else the caller's own default."""
        own: dict[str, Any] = self._definitions[key]
        variants = own.get("variants") or {}
        off = next((name for name, value in variants.items() if value is False), None)
        met = {"and": [self._met(name, variant, (key,)) for name, variant in _wanted(key, own).items()]}
        rule = {"if": [met, self._answer(own.get("targeting"), own.get("defaultVariant")), off]}
        return {**own, "defaultVariant": None, "targeting": rule}

    def _met(self, key: str, variant: str, path: tuple[str, ...]) -> Any:
        if key in path:
            raise InvalidInput("prerequisite", f"flags require each other: {' -> '.join((*path, key))}", "break it up")
        flag = self._definitions.get(key)
        if not isinstance(flag, dict) or not isinstance(flag.get("variants"), dict):
            raise InvalidInput("prerequisite", f"flag {path[-1]!r} requires {key!r}, which is no flag", "define it")
        wanted = variant or next((name for name, value in flag["variants"].items() if value is True), "")
        if wanted not in flag["variants"]:
            text = f"flag {path[-1]!r} requires {key}={variant or 'true'}, which is no variant of it"
            raise InvalidInput("prerequisite", text, f"variants are: {', '.join(flag['variants'])}")
        if flag.get("state") != "ENABLED":
            return False
        conditions = [self._met(name, each, (*path, key)) for name, each in _wanted(key, flag).items()]
        return {"and": [*conditions, {"==": [self._portable(key, flag), wanted]}]}

    def _portable(self, key: str, flag: Mapping[str, Any]) -> Any:
        """Return the rule of a flag so that it means the same inside the rule of another one."""
        try:
            rule = inline(flag.get("targeting"), self._shared)
        except BadRule as error:
            raise InvalidInput("prerequisite", f"flag {key!r} is required and bad: {error}", "mend it first") from None
        return self._answer(self._rewritten(rule, key), flag.get("defaultVariant"))

    def _rewritten(self, node: Any, key: str) -> Any:
        match node:
            case {"var": "$flagd.flagKey" | ["$flagd.flagKey", *_]}:
                return key
            case {"fractional": [[*_], *_] as entries}:
                return self._spelled_out([self._rewritten(entry, key) for entry in entries], key)
            case dict():
                return {name: self._rewritten(value, key) for name, value in node.items()}
            case list():
                return [self._rewritten(each, key) for each in node]
            case _:
                return node

    def _spelled_out(self, entries: list[Any], key: str) -> dict[str, Any]:
        if self._bucketing == "v3":
            text = f"flag {key!r} is required, and splits its users by a `fractional` without a bucket key"
            hint = 'give it one: {"cat": [{"var": "$flagd.flagKey"}, {"var": "targetingKey"}]}'
            raise InvalidInput("prerequisite", text, hint)
        bucket_key = {"cat": [key, {"var": "targetingKey"}]}
        return {"if": [{"var": "targetingKey"}, {"fractional": [bucket_key, *entries]}, None]}

    @staticmethod
    def _answer(rule: Any, default: Any) -> Any:
        if not rule:
            return default
        return rule if default is None else {"if": [{"==": [rule, None]}, default, rule]}


def _wanted(key: str, flag: Any) -> dict[str, str]:
    """Read what a flag requires: flag -> variant, empty where true is wanted. Raises InvalidInput."""
    metadata = flag.get("metadata") if isinstance(flag, dict) else None
    text = metadata.get(REQUIRES, "") if isinstance(metadata, dict) else ""
    if not isinstance(text, str):
        raise InvalidInput("prerequisite", f"flag {key!r} requires {text!r}, which is no text", "like: new-accounts")
    pairs = [each.strip().partition("=") for each in text.split(",") if each.strip()]
    if len(pairs) > PREREQUISITES:
        raise InvalidInput("prerequisite", f"flag {key!r} requires {len(pairs)} others", f"at most {PREREQUISITES}")
    return {name.strip(): variant.strip() for name, _, variant in pairs}


def _refs(node: Any) -> Iterator[str]:
    match node:
        case {"$ref": str(name)}:
            yield name
        case dict():
            for value in node.values():
                yield from _refs(value)
        case list():
            for each in node:
                yield from _refs(each)
        case _:
            pass
