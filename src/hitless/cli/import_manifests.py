"""`hitless import argo` and `hitless import flagger`: manifests into a change file."""

from collections.abc import Callable
from pathlib import Path

import click

from hitless.app.imports.outcome import Imported
from hitless.cli.importing import tell_left, write_new
from hitless.cli.main import Here
from hitless.cli.output import emit, emit_json, say
from hitless.cli.reading import read_text
from hitless.kit.errors import Exit
from hitless.plan.document import documents

files_argument = click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
out_option = click.option("-o", "--out", type=click.Path(path_type=Path), help="Write the change here, not to stdout.")
system_option = click.option(
    "--system", type=click.Path(path_type=Path), help="Write what belongs into hitless.yaml to this new file."
)
to_option = click.option("--to", help="The version to ship, in place of the one in the manifests.")


@click.command("argo")
@files_argument
@out_option
@system_option
@to_option
@click.pass_obj
def argo_command(at: Here, files: tuple[Path, ...], out: Path | None, system: Path | None, to: str | None) -> int:
    """Turn Argo Rollouts (with their AnalysisTemplates and Deployments) into a change."""
    from hitless.app.imports.argo import import_argo

    return _import(at, lambda texts: import_argo(texts, to=to), files, out, system)


@click.command("flagger")
@files_argument
@out_option
@system_option
@to_option
@click.pass_obj
def flagger_command(at: Here, files: tuple[Path, ...], out: Path | None, system: Path | None, to: str | None) -> int:
    """Turn Flagger Canaries (with their Deployments) into a change."""
    from hitless.app.imports.flagger import import_flagger

    return _import(at, lambda texts: import_flagger(texts, to=to), files, out, system)


def _import(
    at: Here,
    convert: Callable[[dict[str, str]], Imported],
    files: tuple[Path, ...],
    out: Path | None,
    system: Path | None,
) -> int:
    imported = convert({str(file): read_text(file) for file in files})
    for file, text in ((out, imported.change), (system, imported.system)):
        if file is not None and text:
            write_new(file, text)
    if at.as_json:
        emit_json(
            {
                "change": documents(imported.change, file="change")[0],
                "system": documents(imported.system, file="system")[0] if imported.system else None,
                "left": [each.to_json() for each in imported.left],
            }
        )
        return Exit.DONE
    if out is None:
        emit(imported.change.rstrip())
    tell_left(imported.left)
    if imported.system and system is None:
        say("what belongs into hitless.yaml is written by: --system FILE")
    return Exit.DONE
