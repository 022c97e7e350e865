"""Flyway: versioned scripts in the order of their numbers; repeatable ones, undos and callbacks beside them. Pure."""

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from hitless.app.imports.history import History
from hitless.app.imports.outcome import Left
from hitless.kit.errors import InvalidInput

VERSIONED = re.compile(r"(?P<kind>[VBU])(?P<version>\d+(?:[._]\d+)*)__(?P<text>.+)\.(?P<suffix>sql|java|class|py|sh)")
REPEATABLE = re.compile(r"R__(?P<text>.+)\.sql")
CALLBACK = re.compile(r"(?:before|after|create)[A-Z]\w*(?:__.+)?\.sql")
PLACEHOLDER = re.compile(r"\$\{[A-Za-z_][\w:.]*\}")
SCHEMA = re.compile(r"\bcreate\s+schema\s+(?:if\s+not\s+exists\s+)?\"?(\w+)", re.IGNORECASE)

Version = tuple[int, ...]


def read_flyway(texts: Mapping[str, str]) -> History:
    """Read the scripts of a folder and those below it; path -> text.

    Raises InvalidInput `no-history` and, for a version that two scripts have, `broken-history`.
    """
    scripts: dict[tuple[str, Version], str] = {}  # a baseline script may have the version of a migration
    left: list[Left] = []
    for file, text in sorted(texts.items()):
        name = PurePosixPath(file).name
        match = VERSIONED.fullmatch(name)
        if match is not None and match["kind"] in "VB":
            _add(scripts, (match["kind"], _number(match["version"])), file)
        left += _beside(file, name, text, match)
    versions = {version for _, version in scripts}
    if not versions:
        hint = "name the folder of its scripts: V1__name.sql"
        raise InvalidInput("no-history", "there is no Flyway migration in this folder", hint)
    head = ".".join(map(str, max(versions)))
    return History(
        tool="Flyway",
        heads=(head,),
        count=len(versions),
        query="SELECT version FROM flyway_schema_history WHERE success ORDER BY installed_rank DESC LIMIT 1",
        answer=head,
        left=tuple(left),
    )


def _number(text: str) -> Version:
    """1.10 comes after 1.9; 1.0 is 1."""
    parts = [int(part) for part in re.split(r"[._]", text)]
    while len(parts) > 1 and parts[-1] == 0:
        parts.pop()
    return tuple(parts)


def _add(scripts: dict[tuple[str, Version], str], key: tuple[str, Version], file: str) -> None:
    if key in scripts:
        raise InvalidInput(
            "broken-history", f"{scripts[key]} and {file} have the same version", "Flyway refuses this too"
        )
    scripts[key] = file


def _beside(file: str, name: str, text: str, match: re.Match[str] | None) -> Iterator[Left]:
    """Tell of what a script does that a baseline does not say."""
    if match is not None and match["kind"] == "U":
        yield Left(code="undo", where=file, text="the way back of a change of hitless is made from `down`")
    elif match is not None and match["suffix"] != "sql":
        yield Left(code="no-sql", where=file, text="it is a program; that it ran is all that counts here")
    elif REPEATABLE.fullmatch(name):
        hint = "write it as `sql` in a migration when it changes"
        yield Left(code="repeatable", where=file, text="hitless runs nothing again when it changes", hint=hint)
    elif CALLBACK.fullmatch(name):
        yield Left(code="callback", where=file, text="hitless runs nothing beside its migrations")
    elif match is None:
        yield Left(code="not-a-migration", where=file, text="its name is none of Flyway's")
    if match is not None and PLACEHOLDER.search(text):
        yield Left(code="placeholder", where=file, text="it has placeholders; the tables are taken as they are")
    for schema in sorted({found.lower() for found in SCHEMA.findall(text)} - {"public"}):
        yield Left(
            code="other-schema", where=file, text=f"tables in schema {schema} are left alone; only public is seen"
        )
