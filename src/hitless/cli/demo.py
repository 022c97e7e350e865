"""The verb of the newcomer: see it work."""

import click

from hitless.cli.main import Here
from hitless.cli.output import emit, emit_json
from hitless.kit.errors import Exit


@click.command("demo")
@click.option("--keep", is_flag=True, help="Leave the shop running at the end.")
@click.pass_obj
def demo_command(at: Here, keep: bool) -> int:  # noqa: FBT001
    """Start a shop, put load on it, change it, break it, kill it; exit 1 if one request failed that had to succeed."""
    from hitless.app.demo.play import how_to_go_on, play, summary

    played = play(_quiet if at.as_json else emit, keep=keep)
    if at.as_json:
        emit_json(played.to_json())
    else:
        emit(summary(played))
        if keep:
            emit(how_to_go_on(played))
    return Exit.FAILED if played.problems else Exit.DONE


def _quiet(_: str) -> None:
    """Programs get the data at the end."""
