"""What a rehearsal says about a change. Pure values."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that a person should know before the change runs; `rule` stays the same from release to release."""

    rule: str
    text: str
    hint: str = ""
    refuses: bool = True  # unless it is accepted with a reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """What a change did to an empty copy of the database."""

    destroys: tuple[str, ...] = ()  # what contract takes away for good, in words
    findings: tuple[Finding, ...] = ()
    failure: Finding | None = None  # it could not be carried out there, so it must not be here
    where: str = ""  # the copy, in words; empty: it was not rehearsed
    queries: int = 0  # of the running code, tried on both versions
