"""What a person can do to one flag, as data: applied now, or at a time that was set. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from typing import Any, Self

from hitless.flags.plain import REQUIRES
from hitless.flags.reach import NEEDS_SCHEMA, needs
from hitless.flags.stages import Cohort, Members, at_stage, canonical, parse_stages
from hitless.kit.errors import InvalidInput

FLAG_LENGTH = 200  # characters of a name


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One edit of one flag. What is left out stays as it is."""

    definition: Mapping[str, Any] | None = None  # the whole flag, as flags.json has it
    remove: bool = False
    variant: str | None = None  # what everybody gets; the rule goes
    killed: bool | None = None  # True: every client falls back to its own default; False: as before
    stage: str | None = None  # a group, a share, everyone, off
    group: str = ""  # stays in at every share
    cohort: Cohort = "own"
    owner: str | None = None
    expires: str | None = None  # YYYY-MM-DD; empty: never
    requires: str | None = None  # other flags, see `hitless.flags.plain`; empty: none
    needs_schema: str | None = None  # what variants need of a database, see `hitless.flags.reach`; empty: nothing
    about: str | None = None

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        """Read a wish from plain data. Raises InvalidInput `flag-edit` for unknown or wrong values."""
        known = {field.name for field in fields(cls)}
        given = {key: value for key, value in body.items() if value is not None}
        if unknown := set(given) - known:
            raise InvalidInput("flag-edit", f"{min(unknown)!r} is nothing that a flag has", f"known: {sorted(known)}")
        for key, value in given.items():
            _check(key, value)
        wish = cls(**given)
        ways = [wish.definition is not None, wish.remove, wish.variant is not None, wish.stage is not None]
        if sum(ways) > 1:
            raise InvalidInput("flag-edit", "definition, remove, variant and stage exclude each other", "take one")
        if not given:
            raise InvalidInput("flag-edit", "the edit changes nothing", "see: hitless flags set --help")
        return wish

    def to_data(self) -> dict[str, Any]:
        """Write it as plain data; `read` takes it back."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        return {key: value for key, value in plain.items() if value is not None and value != _EMPTY.get(key)}

    def describe(self) -> str:
        """Say in a few words what it does."""
        words = [f"{key} {value if isinstance(value, str) else ''}".strip() for key, value in self.to_data().items()]
        return ", ".join(words)

    def apply(self, flag: str, now: str, groups: Mapping[str, Members]) -> str:
        """Return the definition after the edit (canonical JSON, empty: removed); `now` is the one before.

        Raises InvalidInput if the flag does not exist or cannot be edited so.
        """
        _check_name(flag)
        if self.remove:
            _must_exist(flag, now)
            return ""
        before: dict[str, Any] | None = json.loads(now) if now else None
        if self.definition is not None:
            before = dict(self.definition)
        elif self.stage is not None:
            before = self._staged(before, groups)
        _must_exist(flag, "" if before is None else "there")
        return canonical(self._noted(flag, before or {}))

    def _staged(self, before: dict[str, Any] | None, groups: Mapping[str, Members]) -> dict[str, Any]:
        stage = self.stage or ""
        if stage != "off":
            parse_stages((self.group, stage) if self.group and self.group != stage else (stage,), groups)
        group = self.group or (stage if stage in groups else "")
        return at_stage(before, stage, group=group, groups=groups, cohort=self.cohort)

    def _noted(self, flag: str, before: dict[str, Any]) -> dict[str, Any]:
        after = dict(before)
        if self.variant is not None:
            if self.variant not in (after.get("variants") or {}):
                known = ", ".join(after.get("variants") or {}) or "none"
                raise InvalidInput("unknown-variant", f"flag {flag!r} has no variant {self.variant!r}", f"has: {known}")
            after = {key: value for key, value in after.items() if key != "targeting"}
            after["defaultVariant"] = self.variant
        if self.killed is not None:
            after["state"] = "DISABLED" if self.killed else "ENABLED"
        notes = {"owner": self.owner, "expires": self.expires, REQUIRES: self.requires, NEEDS_SCHEMA: self.needs_schema}
        notes["description"] = self.about
        metadata = dict(after.get("metadata") or {})
        metadata |= {key: value for key, value in notes.items() if value}
        metadata = {key: value for key, value in metadata.items() if notes.get(key) != ""}
        if metadata or "metadata" in after:
            after["metadata"] = metadata
        list(needs(flag, after))  # a broken one would only show at contract
        return after


_EMPTY = {"remove": False, "group": "", "cohort": "own"}
_KINDS: Mapping[str, type] = {"definition": dict, "remove": bool, "killed": bool}


def _check(key: str, value: Any) -> None:
    if not isinstance(value, _KINDS.get(key, str)):
        raise InvalidInput("flag-edit", f"{key} is {value!r}", f"it wants {_KINDS.get(key, str).__name__}")
    if key == "cohort" and value not in ("own", "change"):
        raise InvalidInput("flag-edit", f"cohort is {value!r}", "own, or change")
    if key == "expires" and value:
        try:
            date.fromisoformat(str(value))
        except ValueError:
            raise InvalidInput("flag-edit", f"expires is {value!r}, which is no day", "like 2027-01-31") from None


def _check_name(flag: str) -> None:
    if not flag or len(flag) > FLAG_LENGTH or not flag.isprintable() or "/" in flag:
        text = f"{flag[:60]!r} is no name of a flag"
        raise InvalidInput("flag-name", text, f"1 to {FLAG_LENGTH} printable characters without /")


def _must_exist(flag: str, now: str) -> None:
    if not now:
        raise InvalidInput("unknown-flag", f"there is no flag {flag!r}", "see: hitless flags list")
