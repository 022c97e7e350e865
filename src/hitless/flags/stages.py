"""Stages of a flag (a group, shares of the users, everyone), compiled to plain flags.json. Pure.

The order of the variants and the total weight never change from stage to stage, so growing keeps everybody who is in,
and shrinking lets those leave first who came last.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hitless.kit.errors import InvalidInput
from hitless.kit.units import BUCKETS, Share

EVERYONE = "everyone"
OFF = "off"  # nobody: what an undefined flag begins with

Cohort = Literal["own", "change"]  # "change": the users whom the change's canary gets, by the gateway's bucket


@dataclass(frozen=True, slots=True, kw_only=True)
class Members:
    """Who belongs to a group: users by targeting key, and e-mail addresses by pattern (`*@shop.example`)."""

    users: tuple[str, ...] = ()
    email: str = ""


def parse_stages(stages: tuple[str, ...], groups: Mapping[str, Members]) -> tuple[str, ...]:
    """Check the stages of one flag. Raises InvalidInput if a group is unknown or stands late, or they do not grow."""
    shares = []
    for position, stage in enumerate(stages):
        if stage == EVERYONE or stage.endswith("%"):
            shares.append(_share(stage))
        elif stage not in groups:
            known = ", ".join(sorted(groups)) or "none"
            raise InvalidInput("unknown-group", f"stage {stage!r} is no share and no group", f"groups are: {known}")
        elif position:
            raise InvalidInput("stages-order", f"group {stage!r} is not the first stage", "put the group first")
    if not stages or shares != sorted(set(shares)):
        raise InvalidInput("stages-order", f"stages must grow: {', '.join(stages)}", "for example staff, 5%, everyone")
    return stages


def at_stage(
    definition: Mapping[str, Any] | None,
    stage: str,
    *,
    group: str = "",
    groups: Mapping[str, Members] | None = None,
    cohort: Cohort = "own",
) -> dict[str, Any]:
    """Return the flag at a stage; `group` stays in at every share. No definition: a boolean flag, off, is made.

    Raises InvalidInput if the flag has not exactly the values true and false.
    """
    base = {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off", **(definition or {})}
    on, off = _sides(base["variants"])
    share = Share(0) if stage in (OFF, group) else _share(stage)
    rule: Any = off
    if share.buckets == BUCKETS:
        rule = on
    elif share.buckets:
        rule = _by_cohort(on, off, share) if cohort == "change" else _by_hash(on, off, share)
    member = member_rule((groups or {})[group]) if group and stage != OFF else False
    return {**base, "state": "ENABLED", "targeting": {"if": [member, on, rule]}}


def serves(definition: Any) -> str:
    """Say in a few words who gets what, as far as the form of the definition shows it."""
    match definition:
        case {"state": "DISABLED"}:
            return "killed: every client's own default"
        case {"targeting": {"if": [member, str(on), rule]}}:
            more = "" if member is False else "group and "
            match rule:
                case {"if": [_, {"fractional": [_, [str(), int(buckets)], _]}, str()]}:
                    return f"{on!r} for {more}{Share(buckets)} of users"
                case {"if": [{"<=": [0, {"var": ["hitlessBucket", -1]}, int(last)]}, str(), str()]}:
                    return f"{on!r} for {more}{Share(last + 1)} of users, the cohort of the change"
                case str() if rule == on:
                    return f"{on!r} for everybody"
                case str():
                    return f"{rule!r} for everybody" if member is False else f"{on!r} for the group alone"
                case _:
                    pass
        case _:
            pass
    match definition:
        case {"targeting": dict(rule), "defaultVariant": str(name)} if rule:
            return f"by its rule, else {name!r}"
        case {"targeting": dict(rule)} if rule:
            return "by its rule, else the client's own default"
        case {"defaultVariant": str(name)}:
            return f"{name!r} for everybody"
        case _:
            return "the client's own default"


def who_moves(before: Share, after: Share) -> tuple[Share, Share]:
    """Return the shares of all users that come in and that leave between two stages."""
    return Share(max(0, after.buckets - before.buckets)), Share(max(0, before.buckets - after.buckets))


def canonical(definition: Mapping[str, Any] | None) -> str:
    """Write a definition so that the same one always gives the same text; empty for a flag that does not exist."""
    return "" if definition is None else json.dumps(definition, separators=(",", ":"), ensure_ascii=False)


def _share(stage: str) -> Share:
    try:
        return Share(BUCKETS) if stage == EVERYONE else Share.parse(stage)
    except ValueError as error:
        raise InvalidInput("unknown-stage", str(error), "stages are a group, shares like 5%, and everyone") from None


def _sides(variants: Any) -> tuple[str, str]:
    names = {value: name for name, value in variants.items()} if isinstance(variants, dict) else {}
    if len(names) != 2 or set(map(type, names)) != {bool}:
        text = f"a flag with the variants {json.dumps(variants)} cannot be raised by stages"
        raise InvalidInput("flag-not-boolean", text, "stages need exactly two variants: true and false")
    return names[True], names[False]


# The key is written out: in every generation and every place the rule is put, the same text is hashed.
_BUCKET_KEY = {"cat": [{"var": "$flagd.flagKey"}, {"var": "targetingKey"}]}


def _by_hash(on: str, off: str, share: Share) -> dict[str, Any]:
    split = {"fractional": [_BUCKET_KEY, [on, share.buckets], [off, BUCKETS - share.buckets]]}
    return {"if": [{"var": "targetingKey"}, split, off]}  # who has no name stays on the old side


def _by_cohort(on: str, off: str, share: Share) -> dict[str, Any]:
    # Without a bucket in the context the default -1 lies outside: who is unknown stays on the old side.
    return {"if": [{"<=": [0, {"var": ["hitlessBucket", -1]}, share.buckets - 1]}, on, off]}


def member_rule(members: Members) -> dict[str, Any]:
    """Write a group as a rule. Raises InvalidInput for a pattern of addresses that no rule can say."""
    rules: list[Any] = [{"in": [{"var": "targetingKey"}, list(members.users)]}] if members.users else []
    match members.email.split("*"):
        case [""]:
            pass
        case [exact]:
            rules.append({"==": [{"var": "email"}, exact]})
        case ["", end]:
            rules.append({"ends_with": [{"var": "email"}, end]})
        case [start, ""]:
            rules.append({"starts_with": [{"var": "email"}, start]})
        case _:
            hint = "put one * at its beginning or its end"
            raise InvalidInput("group-email", f"pattern {members.email!r} cannot be written as a rule", hint)
    return {"or": rules or [False]}
