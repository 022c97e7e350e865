"""A history of migrations that another tool ran: where it ends, and from where hitless goes on. Pure."""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from hitless.app.imports.outcome import Left
from hitless.kit.errors import InvalidInput
from hitless.plan.document import MIGRATION_NAME

FILES_LIMIT = 10_000
MIGRATION = re.compile(rf"{MIGRATION_NAME}\.ya?ml")
HEAD = re.compile(r"[A-Za-z0-9._-]{1,200}")
_HEADER = """\
# The baseline: the tables as {tool} has left them at {head}.
# It changes nothing. hitless goes on from here; {tool} must not change this database any more.
# Before the first `hitless up`:  {query}
# must answer:                    {answer}
operations: []
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What the files of another tool say."""

    tool: str
    heads: tuple[str, ...]  # where it ends; more than one only where the tool keeps several lines (apps)
    count: int  # migrations that were read
    query: str  # what to ask the database, to see that it stands there
    answer: str
    left: tuple[Left, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """The first migration of hitless: it takes the tables as they are."""

    version: str  # NNNN_name: what hitless.yaml says at databases.NAME.version
    file: str  # its name in the folder of migrations
    text: str


def baseline(history: History, present: Iterable[str]) -> Baseline:
    """Make the baseline; `present` are the files in hitless's own folder. Raises InvalidInput `migrations-there`."""
    if mine := sorted(name for name in present if MIGRATION.fullmatch(name)):
        text = f"there are migrations of hitless already, beginning with {mine[0]}; a baseline must be the first"
        raise InvalidInput("migrations-there", text, "name an empty folder: --migrations")
    for each in history.heads:
        if HEAD.fullmatch(each) is None:
            raise InvalidInput("invalid-name", f"{each!r} is no name of a migration", "letters, digits, . _ and -")
    head = history.heads[0] if len(history.heads) == 1 else f"{len(history.heads)}-apps"
    name = re.sub(r"[^A-Za-z0-9]+", "_", f"{history.tool}_{head}").strip("_").lower()[:48].strip("_")
    version = f"0001_{name}"
    text = _HEADER.format(tool=history.tool, head=", ".join(history.heads), query=history.query, answer=history.answer)
    return Baseline(version=version, file=f"{version}.yaml", text=text)


def ends(parents: Mapping[str, tuple[str, ...]], *, tool: str) -> list[str]:
    """Return the migrations that no other stands on. Raises InvalidInput for a parent that is missing, or a circle."""
    for child, above in parents.items():
        for parent in above:
            if parent not in parents:
                text = f"{child} stands on {parent}, which is in no file"
                raise InvalidInput("broken-history", text, f"bring {tool}'s whole folder")
    heads = sorted(parents.keys() - {parent for above in parents.values() for parent in above})
    if not heads or len(_reached(parents, heads)) < len(parents):
        raise InvalidInput("broken-history", "the migrations stand on one another in a circle")
    return heads


def _reached(parents: Mapping[str, tuple[str, ...]], heads: Iterable[str]) -> set[str]:
    seen: set[str] = set()
    waiting = list(heads)
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += parents[name]
    return seen


def parsed(text: str, file: str) -> ast.Module:
    """Parse a Python file; it is never run. Raises InvalidInput `broken-history`."""
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise InvalidInput("broken-history", f"{file} is no Python: {error}") from None


def assigned(body: Iterable[ast.stmt]) -> Iterator[tuple[str, ast.expr]]:
    """Yield name and value of every assignment, with a type or without."""
    for statement in body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                yield name, value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                yield name, value
            case _:
                pass
