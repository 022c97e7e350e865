"""`hitless import alembic`, `django` and `flyway`: where another tool's migrations end, and ours begin."""

from collections.abc import Callable, Iterator
from pathlib import Path

import click

from hitless.app.imports.history import FILES_LIMIT, History, baseline
from hitless.cli.importing import tell_left, write_new
from hitless.cli.main import Here
from hitless.cli.output import emit, emit_json, say
from hitless.cli.reading import read_text
from hitless.kit.errors import Exit, InvalidInput

folder_argument = click.argument("folder", type=click.Path(path_type=Path))
migrations_option = click.option(
    "--migrations", type=click.Path(path_type=Path), default=Path("migrations"), help="hitless's own folder."
)


@click.command("alembic")
@folder_argument
@migrations_option
@click.pass_obj
def alembic_command(at: Here, folder: Path, migrations: Path) -> int:
    """Take the tables as Alembic has left them: a baseline from which hitless goes on."""
    from hitless.app.imports.alembic import read_alembic

    root = folder / "versions" if (folder / "versions").is_dir() else folder
    return _import(at, read_alembic, dict(_texts(root, "*.py")), migrations)


@click.command("django")
@folder_argument
@migrations_option
@click.pass_obj
def django_command(at: Here, folder: Path, migrations: Path) -> int:
    """Take the tables as Django has left them: a baseline from which hitless goes on."""
    from hitless.app.imports.django import read_django

    resolved = folder.resolve()
    root = resolved.parent.parent if resolved.name == "migrations" else resolved.parent
    texts = dict(_texts(resolved, "migrations/*.py" if resolved.name != "migrations" else "*.py", under=root))
    return _import(at, read_django, texts, migrations)


@click.command("flyway")
@folder_argument
@migrations_option
@click.pass_obj
def flyway_command(at: Here, folder: Path, migrations: Path) -> int:
    """Take the tables as Flyway has left them: a baseline from which hitless goes on."""
    from hitless.app.imports.flyway import read_flyway

    return _import(at, read_flyway, dict(_texts(folder, "*")), migrations)


def _import(at: Here, read: Callable[[dict[str, str]], History], texts: dict[str, str], migrations: Path) -> int:
    history = read(texts)
    made = baseline(history, (file.name for file in migrations.iterdir()) if migrations.is_dir() else ())
    migrations.mkdir(parents=True, exist_ok=True)
    write_new(migrations / made.file, made.text)
    if at.as_json:
        emit_json(
            {
                "tool": history.tool,
                "heads": list(history.heads),
                "migrations": history.count,
                "file": str(migrations / made.file),
                "version": made.version,
                "check": {"query": history.query, "answer": history.answer},
                "left": [each.to_json() for each in history.left],
            }
        )
        return Exit.DONE
    emit(f"version: {made.version}")
    say(f"{history.tool}: {history.count} migrations, up to {', '.join(history.heads)}; wrote {migrations / made.file}")
    say(f"write `version: {made.version}` at the database in hitless.yaml; {history.tool} must not change it any more")
    say(f"the database must stand there: {history.query}\n  answers: {history.answer}")
    tell_left(history.left)
    return Exit.DONE


def _texts(folder: Path, pattern: str, under: Path | None = None) -> Iterator[tuple[str, str]]:
    """Yield path (below `under`) and text of every file of a folder. Raises InvalidInput."""
    if not folder.is_dir():
        raise InvalidInput("no-such-folder", f"there is no folder {folder}")
    files = sorted(file for file in folder.rglob(pattern) if file.is_file() and not _foreign(file.relative_to(folder)))
    if len(files) > FILES_LIMIT:
        raise InvalidInput("too-many-files", f"{folder} has {len(files)} files; {FILES_LIMIT} is the limit")
    for file in files:
        text = "" if file.suffix in (".class", ".pyc", ".jar") else read_text(file)
        yield file.relative_to(under or folder).as_posix(), text


def _foreign(path: Path) -> bool:
    """Installed packages and hidden folders hold other people's migrations."""
    return any(part.startswith(".") or part in ("site-packages", "node_modules", "__pycache__") for part in path.parts)
