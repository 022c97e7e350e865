"""What comes of an import: our files, and by name everything that did not go into them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hitless.plan.change import read_change
from hitless.plan.document import written
from hitless.plan.system import read_system


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """One thing that does not translate."""

    code: str
    where: str  # the object and the path in it, as its owner names them
    text: str
    hint: str = ""

    def to_json(self) -> dict[str, str]:
        """Write it as plain data."""
        return {"code": self.code, "where": self.where, "text": self.text, "hint": self.hint}


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What one foreign object says about one service."""

    service: str
    source: str  # the object it came from
    change: Mapping[str, Any]  # keys of our change file, below services.NAME
    section: Mapping[str, Any] = field(default_factory=dict)  # keys of hitless.yaml, below services.NAME
    groups: Mapping[str, Any] = field(default_factory=dict)  # of hitless.yaml
    left: tuple[Left, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """Our files, made of foreign ones."""

    change: str  # text of a change file
    system: str  # text of a system file; its sections are to be merged into the user's own. Empty: nothing is known
    left: tuple[Left, ...]


def assembled(drafts: tuple[Draft, ...], left: tuple[Left, ...], *, origin: str) -> Imported:
    """Put drafts together into one change. What is returned was read by the same rules as every file of a user."""
    name = drafts[0].service if len(drafts) == 1 else f"import-{drafts[0].service}-and-{len(drafts) - 1}-more"
    content: dict[str, Any] = {
        "change": name,
        "why": f"made from {origin}: {', '.join(draft.source for draft in drafts)}",
        "services": {draft.service: dict(draft.change) for draft in drafts},
    }
    change = written(content)
    read_change(change, file="the imported change")
    system = _system(drafts)
    if system:
        read_system(system, file="the imported system")
    return Imported(change=change, system=system, left=(*(each for draft in drafts for each in draft.left), *left))


def _system(drafts: tuple[Draft, ...]) -> str:
    sections = {draft.service: dict(draft.section) for draft in drafts if draft.section}
    if not sections:
        return ""
    groups = {name: dict(group) for draft in drafts for name, group in draft.groups.items()}
    return written({"system": "imported", **({"groups": groups} if groups else {}), "services": sections})
