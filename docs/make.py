"""Make what follows from the code: docs/commands.md, docs/errors.md and the JSON Schemas in the package (`make docs`)."""

import ast
from collections.abc import Iterator
from pathlib import Path

import click

from hitless.cli.main import cli
from hitless.kit.errors import Exit
from hitless.plan.schema import FILE_KINDS, published

DOCS = Path(__file__).parent
SOURCES = DOCS.parent / "src" / "hitless"
NAMES = {"InvalidInput": 2, "Refused": 3, "Refusal": 3, "NotAllowed": 4, "StepFailed": 5, "Unreachable": 1}
NAMES |= {"HitlessError": 1, "Abandon": 1, "ActFailed": 1}
COMMANDS = """\
# Commands

Made by `docs/make.py` from what the commands say themselves (`hitless VERB --help`).

Every command takes `-f FILE` (default `hitless.yaml`) and `--json`: one object on stdout, NDJSON when it follows a run.
Data goes to stdout, talk to stderr. Without a terminal nothing is asked.
"""
ERRORS = """\
# Error codes

Made by `docs/make.py` from the code. `...` stands for a value. A code never changes its meaning; the exit codes are listed
in [commands](commands.md#exit-codes).

| code | exit | says | hint |
|---|---|---|---|"""
MEANS = {
    Exit.DONE: "done",
    Exit.FAILED: "failed",
    Exit.USAGE: "wrong usage or an invalid file; nothing was touched",
    Exit.REFUSED: "refused: not safe, not now, or not approved; nothing was touched (`plan` with refusals too)",
    Exit.NOT_ALLOWED: "not allowed",
    Exit.ROLLED_BACK: "rolled back, and whole (`abort` and `rollback` that get there: 0)",
    Exit.ROLLBACK_INCOMPLETE: "rollback incomplete: a person is needed",
    Exit.WATCH_TIMED_OUT: "the watch timed out; the run goes on",
    Exit.DETACHED: "detached by Ctrl-C; the run goes on",
}


def commands() -> str:
    """Return the page of all commands, from what they say themselves."""
    lines = [COMMANDS]
    context = click.Context(cli, info_name="hitless")
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        if command is not None:
            lines += _command(command, click.Context(command, info_name=name, parent=context))
    lines += ["## Exit codes", "", "| code | means |", "|---|---|"]
    return "\n".join([*lines, *(f"| {int(code)} | {means} |" for code, means in MEANS.items()), ""])


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    words = " ".join(command.collect_usage_pieces(context)).replace("[OPTIONS]", "").strip()
    yield f"## `{f'{context.command_path} {words}'.strip()}`"
    yield ""
    yield " ".join((command.help or "").split())
    yield ""
    options = [each for each in command.params if isinstance(each, click.Option) and not each.hidden]
    told = [record for option in options if (record := option.get_help_record(context)) and "--help" not in record[0]]
    for words, text in told:
        yield f"- `{words}`: {' '.join(text.split())}"
    if told:
        yield ""
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None:
                deeper = _command(inner, click.Context(inner, info_name=name, parent=context))
                yield from (f"#{line}" if line.startswith("## ") else line for line in deeper)


def errors() -> str:
    """Return the page of all error codes: the sentence and the way forward, as they stand in the code."""
    found: dict[str, list[tuple[int, str, str]]] = {}
    for file in sorted(SOURCES.rglob("*.py")):
        for call in ast.walk(ast.parse(file.read_text())):
            if isinstance(call, ast.Call) and (told := _told(call)) is not None:
                code, entry = told
                if entry not in found.setdefault(code, []):
                    found[code].append(entry)
    lines = [ERRORS]
    for code in sorted(found):
        for number, (exit_code, text, hint) in enumerate(sorted(found[code])[:3]):
            lines.append(f"| {f'`{code}`' if not number else ''} | {exit_code} | {text} | {hint} |")
    return "\n".join([*lines, ""])


def codes() -> set[str]:
    """Return all codes that the source knows as literals."""
    trees = (ast.parse(file.read_text()) for file in SOURCES.rglob("*.py"))
    calls = (each for tree in trees for each in ast.walk(tree) if isinstance(each, ast.Call))
    return {told[0] for call in calls if (told := _told(call)) is not None}


def _told(call: ast.Call) -> tuple[str, tuple[int, str, str]] | None:
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    if name not in NAMES:
        return None
    given = dict(zip(("code", "text", "hint"), call.args, strict=False))
    given |= {each.arg: each.value for each in call.keywords if each.arg in ("code", "text", "hint")}
    code = given.get("code")
    if not isinstance(code, ast.Constant) or not isinstance(code.value, str):
        return None
    return code.value, (NAMES[name], _words(given.get("text")), _words(given.get("hint")))


def _words(value: ast.expr | None) -> str:
    """A text with its values left out; several lines become one."""
    match value:
        case None:
            words = ""
        case ast.Constant(value=str() as text):
            words = text
        case ast.JoinedStr(values=parts):
            words = "".join(str(part.value) if isinstance(part, ast.Constant) else "..." for part in parts)
        case _:
            words = "..."
    return " ".join(words.split()).replace("|", "\\|")


if __name__ == "__main__":
    (DOCS / "commands.md").write_text(commands())
    (DOCS / "errors.md").write_text(errors())
    for kind in FILE_KINDS:
        (SOURCES / "plan" / "schemas" / f"{kind}.schema.json").write_text(published(kind) + "\n")
