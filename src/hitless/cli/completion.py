"""`hitless completion`: what a shell needs to complete our words."""

import click
from click.shell_completion import get_completion_class

from hitless.cli.main import Here, cli
from hitless.cli.output import emit, emit_json
from hitless.kit.errors import Exit, HitlessError

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_HITLESS_COMPLETE"


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_obj
def completion_command(at: Here, shell: str) -> int:
    """Print the script that completes commands and options: eval "$(hitless completion bash)"."""
    kind = get_completion_class(shell)
    if kind is None:
        raise HitlessError("no-completion", f"click cannot complete for {shell}")
    script = kind(cli, {}, "hitless", VARIABLE).source()
    emit_json({"shell": shell, "script": script}) if at.as_json else emit(script)
    return Exit.DONE
