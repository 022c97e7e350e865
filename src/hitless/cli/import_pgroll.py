"""`hitless import pgroll`: migrations of pgroll, as they are."""

from pathlib import Path

import click

from hitless.cli.main import Here
from hitless.cli.output import emit, emit_json, say
from hitless.kit.errors import Exit

here = click.pass_obj


@click.command("pgroll")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--database", help="Whose migrations they are; needed where several databases have a folder.")
@here
def pgroll_command(at: Here, folder: Path, database: str | None) -> int:
    """Turn pgroll's files (YAML or JSON) into migrations, one for each, in their order."""
    from hitless.app.migrations import folder_of, import_pgroll
    from hitless.app.paths import load_system

    target = folder_of(load_system(at.file), database, at.file.resolve().parent)
    files = import_pgroll(folder, target)
    if at.as_json:
        emit_json({"files": [str(file) for file in files]})
    else:
        emit("\n".join(str(file) for file in files))
        say(f"{len(files)} migrations; name them in a change: database: {{main: [{files[0].stem}, ...]}}")
    return Exit.DONE
