"""Django: one line of migrations for each app, each naming those it stands on, in its own app and in others. Pure."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from hitless.app.imports.history import History, assigned, ends, parsed
from hitless.app.imports.outcome import Left
from hitless.kit.errors import InvalidInput

Key = tuple[str, str]  # app, name


@dataclass(frozen=True, slots=True, kw_only=True)
class _Migration:
    dependencies: tuple[Key, ...]
    replaces: tuple[Key, ...]
    unread: tuple[str, ...]  # what stands among them and is no plain pair


def read_django(texts: Mapping[str, str]) -> History:
    """Read the migrations of some apps; `APP/migrations/NAME.py` -> text. The files are parsed, never run.

    Raises InvalidInput `no-history`, `broken-history`, `several-heads`.
    """
    found = dict(_migrations(texts))
    if not found:
        hint = "name the project's folder, or that of an app"
        raise InvalidInput("no-history", "there is no Django migration in this folder", hint)
    left = [
        Left(code="dependency", where="/".join(key), text=f"{each} is not a plain name; it was not followed")
        for key, migration in found.items()
        for each in migration.unread
    ]
    kept = _squashed(found)
    apps = {app for app, _ in kept}
    left += _foreign(kept, apps)
    heads = [_head(app, kept) for app in sorted(apps)]
    return History(
        tool="Django",
        heads=tuple(f"{app}.{name}" for app, name in heads),
        count=len(kept),
        query=f"SELECT count(*) FROM django_migrations WHERE app || '.' || name IN ({_quoted(heads)})",  # noqa: S608  shown to a person, never run
        answer=str(len(heads)),
        left=tuple(left),
    )


def _quoted(heads: list[Key]) -> str:
    return ", ".join(f"'{app}.{name}'" for app, name in heads)


def _migrations(texts: Mapping[str, str]) -> Iterator[tuple[Key, _Migration]]:
    for file, text in sorted(texts.items()):
        path = PurePosixPath(file)
        if path.parent.name != "migrations" or path.stem == "__init__":
            continue
        for statement in parsed(text, file).body:
            if isinstance(statement, ast.ClassDef) and statement.name == "Migration":
                yield (path.parent.parent.name, path.stem), _migration(statement)


def _migration(statement: ast.ClassDef) -> _Migration:
    values = dict(assigned(statement.body))
    dependencies, unread = _pairs(values.get("dependencies"))
    replaces, more = _pairs(values.get("replaces"))
    return _Migration(dependencies=dependencies, replaces=replaces, unread=(*unread, *more))


def _pairs(value: ast.expr | None) -> tuple[tuple[Key, ...], tuple[str, ...]]:
    """Return the pairs (app, name) of a list, and what in it is none."""
    if value is None:
        return (), ()
    if not isinstance(value, ast.List | ast.Tuple):
        return (), (ast.unparse(value)[:80],)
    pairs: list[Key] = []
    unread: list[str] = []
    for element in value.elts:
        match element:
            case ast.Tuple(elts=[ast.Constant(value=str() as app), ast.Constant(value=str() as name)]):
                pairs.append((app, name))
            case _:
                unread.append(ast.unparse(element)[:80])
    return tuple(pairs), tuple(unread)


def _squashed(found: Mapping[Key, _Migration]) -> dict[Key, _Migration]:
    """Leave out what a squashed migration replaces, and stand on that one instead."""
    by: dict[Key, Key] = {old: new for new, migration in found.items() for old in migration.replaces}
    kept = {}
    for key, migration in found.items():
        if key not in by:
            above = {by.get(each, each) for each in migration.dependencies} - {key}
            kept[key] = _Migration(dependencies=tuple(sorted(above)), replaces=(), unread=migration.unread)
    return kept


def _foreign(kept: Mapping[Key, _Migration], apps: set[str]) -> Iterator[Left]:
    names = sorted({each for migration in kept.values() for each in migration.dependencies if each[0] not in apps})
    for app, name in names:
        yield Left(
            code="other-app", where=f"{app}/{name}", text=f"the app {app} is not in this folder; it was not read"
        )


def _head(app: str, kept: Mapping[Key, _Migration]) -> Key:
    parents = {
        f"{app}.{name}": tuple(
            f"{app}.{above}" for other, above in migration.dependencies if other == app and not above.startswith("__")
        )
        for (mine, name), migration in kept.items()
        if mine == app
    }
    heads = ends(parents, tool="Django")
    if len(heads) > 1:
        text = f"the history of {app} ends in {', '.join(heads)}"
        raise InvalidInput("several-heads", text, "join them: manage.py makemigrations --merge")
    return app, heads[0].removeprefix(f"{app}.")
