"""The command line. Everything heavy is imported by the verb that needs it."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hitless import __version__
from hitless.kit.errors import Exit, HitlessError, InvalidInput

if TYPE_CHECKING:
    from hitless.cli.client import Client

VERBS = {
    "init": "hitless.cli.system",
    "up": "hitless.cli.system",
    "down": "hitless.cli.system",
    "status": "hitless.cli.system",
    "scale": "hitless.cli.system",
    "logs": "hitless.cli.system",
    "doctor": "hitless.cli.system",
    "serve": "hitless.cli.system",
    "demo": "hitless.cli.demo",
    "plan": "hitless.cli.change",
    "show": "hitless.cli.change",
    "apply": "hitless.cli.change",
    "watch": "hitless.cli.change",
    "hold": "hitless.cli.change",
    "resume": "hitless.cli.change",
    "abort": "hitless.cli.change",
    "rollback": "hitless.cli.change",
    "contract": "hitless.cli.change",
    "runs": "hitless.cli.change",
    "audit": "hitless.cli.audit",
    "import": "hitless.cli.imports",
    "flags": "hitless.cli.flags",
    "completion": "hitless.cli.completion",
}


class Here:
    """Where the command was called: which system file, and how to talk."""

    def __init__(self, file: Path, *, as_json: bool) -> None:
        self.file, self.as_json = file, as_json

    @property
    def state(self) -> Path:
        """The state folder of the system."""
        from hitless.app.paths import load_system, state_folder

        return state_folder(load_system(self.file), self.file)

    def client(self) -> "Client":
        """Talk to the system's controller."""
        from hitless.cli.client import Client

        return Client(self.state)


class Verbs(click.Group):
    """Imports a verb's module when it is called, so that `--version` and completion stay fast."""

    verbs: Mapping[str, str] = VERBS  # the verb -> the module that has it

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name all verbs."""
        return list(self.verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one verb."""
        if cmd_name not in self.verbs:
            return None
        import importlib

        command = getattr(importlib.import_module(self.verbs[cmd_name]), f"{cmd_name}_command")
        return command if isinstance(command, click.Command) else None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Refuse an unknown verb with what was probably meant."""
        if args and args[0] not in self.verbs and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], self.verbs, n=1)
            hint = f"did you mean {near[0]}?" if near else "see: hitless --help"
            raise InvalidInput("unknown-command", f"there is no command {args[0]!r}", hint)
        return super().resolve_command(ctx, args)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hitless")
@click.option("-f", "--file", type=click.Path(path_type=Path), default=Path("hitless.yaml"), help="The system file.")
@click.option("--json", "as_json", is_flag=True, help="Data for programs on stdout.")
@click.pass_context
def cli(context: click.Context, file: Path, as_json: bool) -> None:  # noqa: FBT001
    """Change a live system without dropping a request or a row."""
    context.obj = Here(file, as_json=as_json)


def main() -> None:
    """Run a command and leave with its exit code."""
    arguments = general_first(sys.argv[1:])
    sys.exit(run(arguments, as_json="--json" in arguments))


def general_first(arguments: list[str]) -> list[str]:
    """Put `--json` and `-f FILE` in front: they belong to no verb and may stand anywhere, as people type them."""
    general, rest = list[str](), list[str]()
    words = iter(arguments)
    for word in words:
        if word == "--":
            return [*general, *rest, word, *words]
        if word == "--json" or word.startswith("--file="):
            general.append(word)
        elif word in ("-f", "--file"):
            general += [word, *(value for value in (next(words, None),) if value is not None)]
        else:
            rest.append(word)
    return [*general, *rest]


def run(arguments: list[str], *, as_json: bool) -> int:
    """Run one command; returns its exit code."""
    from hitless.cli.output import complain

    try:
        result = cli.main(arguments, prog_name="hitless", standalone_mode=False)
    except HitlessError as error:
        complain(error, as_json=as_json)
        return error.exit
    except click.ClickException as error:
        complain(InvalidInput("usage", error.format_message(), "see: hitless --help"), as_json=as_json)
        return Exit.USAGE
    except (KeyboardInterrupt, click.Abort):
        return Exit.DETACHED
    return result if isinstance(result, int) else Exit.DONE


if __name__ == "__main__":
    main()
