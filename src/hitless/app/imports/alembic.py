"""Alembic: a folder of revisions, each naming the one it stands on. Pure."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass

from hitless.app.imports.history import History, assigned, ends, parsed
from hitless.app.imports.outcome import Left
from hitless.kit.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class _Revision:
    revision: str
    parents: tuple[str, ...]
    depends_on: tuple[str, ...]
    labels: tuple[str, ...]


def read_alembic(texts: Mapping[str, str]) -> History:
    """Read the revisions of a `versions` folder; file name -> text. The files are parsed, never run.

    Raises InvalidInput `no-history`, `broken-history`, `several-heads`.
    """
    revisions: dict[str, _Revision] = {}
    left: list[Left] = []
    for file, text in sorted(texts.items()):
        found = _revision(text, file)
        if found is None:
            left.append(Left(code="not-a-revision", where=file, text="it names no revision"))
        elif found.revision in revisions:
            raise InvalidInput("broken-history", f"{file}: revision {found.revision} is there twice")
        else:
            revisions[found.revision] = found
            left += _named(found, file)
    if not revisions:
        raise InvalidInput("no-history", "there is no Alembic revision in this folder", "name the folder `versions`")
    heads = ends({name: (*each.parents, *each.depends_on) for name, each in revisions.items()}, tool="Alembic")
    if len(heads) > 1:
        raise InvalidInput("several-heads", f"the history ends in {', '.join(heads)}", "join them: alembic merge heads")
    return History(
        tool="Alembic",
        heads=tuple(heads),
        count=len(revisions),
        query="SELECT version_num FROM alembic_version",
        answer=heads[0],
        left=tuple(left),
    )


def _named(found: _Revision, file: str) -> list[Left]:
    return [
        Left(code="branch", where=file, text=f"the branch label {label} means nothing here") for label in found.labels
    ]


def _revision(text: str, file: str) -> _Revision | None:
    values = dict(assigned(parsed(text, file).body))
    if "revision" not in values:
        return None
    (revision,) = _names(values["revision"], file, "revision") or ("",)
    if not revision:
        return None

    def names(key: str) -> tuple[str, ...]:
        return _names(values[key], file, key) if key in values else ()

    return _Revision(
        revision=revision, parents=names("down_revision"), depends_on=names("depends_on"), labels=names("branch_labels")
    )


def _names(value: ast.expr, file: str, key: str) -> tuple[str, ...]:
    """Read a literal: None, one text, or several."""
    try:
        plain = ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError):
        raise InvalidInput("broken-history", f"{file}: {key} is no plain value", "write it as a text") from None
    match plain:
        case None:
            return ()
        case str():
            return (plain,)
        case tuple() | list() | set() if all(isinstance(each, str) for each in plain):
            return tuple(plain)
        case _:
            raise InvalidInput("broken-history", f"{file}: {key} is {plain!r}", "it must be a text")
