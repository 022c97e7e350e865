"""What PostgreSQL says of a statement, told in the words of the migration: its file, operation and expression."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import psycopg

from hitless.database.migration import Migration
from hitless.database.names import literal
from hitless.plan.ports import StepFailed

SHOWN = 200  # characters of an expression
# the server itself, who may write, room: not the migration's doing (57014 also: somebody cancelled it)
_OTHERS = ("08", "25006", "40", "53", "55P03", "57")
_OURS = re.compile(r"\b_hl\w*\.|(?<=\")_hl\w*\.")


class Asked(Protocol):
    """Whoever runs statements, and knows the last one."""

    statement: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Culprit:
    """The operation that a statement of ours comes from."""

    place: str
    expression: str | None  # the part of it that PostgreSQL points at


@contextmanager
def told_of(asked: Asked, migrations: tuple[Migration, ...]) -> Iterator[None]:
    """Raise StepFailed `statement-failed` with file, operation and expression for what PostgreSQL does not take."""
    try:
        yield
    except psycopg.Error as error:
        if error.sqlstate is None or error.sqlstate.startswith(_OTHERS):
            raise
        position = error.diag.statement_position
        found = culprit(migrations, asked.statement, int(position) if position else None)
        if found is None:
            raise
        at = f", in: {found.expression}" if found.expression is not None else ""
        said = f"{error.sqlstate}: {plainly(error)}{at}"
        text = f"{found.place}: PostgreSQL says {said}"
        raise StepFailed("statement-failed", text, _hint(error)) from error


def plainly(error: psycopg.Error) -> str:
    """Return the server's sentence without its details, which may hold values of a row, and without names of ours."""
    return _OURS.sub("", error.diag.message_primary or str(error).strip())


def _hint(error: psycopg.Error) -> str:
    hint = _OURS.sub("", error.diag.message_hint or "")
    return "correct the migration" + (f" ({hint})" if hint and "_hitless" not in hint else "")


def culprit(migrations: tuple[Migration, ...], statement: str, position: int | None) -> Culprit | None:
    """Find the operation whose SQL and names stand in a statement, at the character (from 1) that is pointed at."""
    best: tuple[tuple[int, float, int], Culprit] | None = None
    for migration in migrations:
        for number, operation in enumerate(migration.read().operations, 1):
            kind, fields = next(iter(operation.model_dump(exclude_unset=True).items()))
            texts = set(_texts(fields))
            there = [each for each in texts if _spans(statement, each)]
            hit = max((each for each in there if _covers(statement, each, position)), key=len, default="")
            rank = (len(hit), len(there) / max(len(texts), 1), sum(map(len, there)))
            if there and (best is None or rank > best[0]):
                place = f"{migration.name}.yaml, operation {number} ({kind})"
                best = (rank, Culprit(place=place, expression=" ".join(hit.split())[:SHOWN] or None))
    return best[1] if best else None


def _texts(value: object) -> Iterator[str]:
    match value:
        case str() if value.strip():
            yield value.strip()
        case dict():
            for each in value.values():
                yield from _texts(each)
        case list() | tuple():
            for each in value:
                yield from _texts(each)
        case _:
            return


def _spans(statement: str, text: str) -> list[tuple[int, int]]:
    """Find a text as it is, and as it stands in the body of a trigger: a text itself."""
    inside = literal(text).removeprefix("E")[1:-1]
    either = "|".join(re.escape(each) for each in {text, inside})
    return [found.span() for found in re.finditer(rf"(?<!\w)(?:{either})(?!\w)", statement)]


def _covers(statement: str, text: str, position: int | None) -> bool:
    """An error at the end of an expression is pointed at behind it: at the parenthesis that we have put around it."""
    return position is not None and any(start < position <= end + 1 for start, end in _spans(statement, text))
