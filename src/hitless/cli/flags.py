"""The verbs of feature flags: `hitless flags ...`."""

import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import click

from hitless.cli.change import who
from hitless.cli.flags_output import clients_text, edited_text, history_text, list_text, show_text
from hitless.cli.main import Here
from hitless.cli.output import emit, emit_json, say
from hitless.kit.errors import Exit, InvalidInput
from hitless.kit.units import parse_duration_s

WAIT = "30s"  # official clients take up to 12 s to come back after a lost stream

here = click.pass_obj
set_option = click.option("--set", "set_name", default="default", show_default=True, help="NAME, or NAME@ENVIRONMENT.")
why_option = click.option("--why", default="", help="The reason; it stands in the history.")
at_option = click.option("--at", "at_time", help="Do it then: 2027-01-31T09:00+01:00.")
wait_option = click.option(
    "--wait",
    is_flag=False,
    flag_value=WAIT,
    help=f"Return once every connected client has it; after {WAIT} say who not.",
)


@click.group("flags")
def flags_command() -> None:
    """Feature flags: list, show, set, stage, import, export, history, clients, stale, evaluate."""


@flags_command.command("list")
@set_option
@here
def list_command(at: Here, set_name: str) -> int:
    """List the flags: who gets what, whose they are."""
    listed = _get(at, f"{_base(set_name)}/flags")
    emit_json(listed) if at.as_json else emit(list_text(listed))
    return Exit.DONE


@flags_command.command("show")
@click.argument("flag")
@set_option
@here
def show_command(at: Here, flag: str, set_name: str) -> int:
    """Show a flag: its definition, its last edits, and those to come."""
    shown = _get(at, _flag(set_name, flag))
    emit_json(shown) if at.as_json else emit(show_text(shown))
    return Exit.DONE


@flags_command.command("set")
@click.argument("flag")
@click.option("--variant", help="Everybody gets this variant; a rule goes.")
@click.option("--kill", "killed", flag_value="kill", help="Every client falls back to its own default, at once.")
@click.option("--revive", "killed", flag_value="revive", help="Undo --kill.")
@click.option(
    "--definition", "source", type=click.Path(path_type=Path), help="A file with the whole flag; - for stdin."
)
@click.option("--remove", is_flag=True, help="Take the flag out of the set.")
@click.option("--owner", help="Who answers for it.")
@click.option("--expires", help="The day after which it is stale: 2027-01-31; empty: never.")
@click.option("--requires", help="Other flags that must be on: new-accounts,theme=dark; empty: none.")
@click.option("--needs-schema", help="What variants need of a database: off=main/0001_shop; empty: nothing.")
@click.option("--about", help="What it is for.")
@click.option("--cancel", type=int, help="Let this scheduled edit not happen.")
@set_option
@why_option
@at_option
@wait_option
@here
def set_command(at: Here, /, flag: str, **given: Any) -> int:
    """Edit a flag, now or at a time (--at)."""
    if given["cancel"] is not None:
        answer = at.client().post(f"/v1/flag-edits/{given['cancel']}/cancel", {"who": who()})
        emit_json(answer) if at.as_json else say(f"edit {given['cancel']} will not happen")
        return Exit.DONE
    names = ("variant", "owner", "expires", "requires", "needs_schema", "about")
    wish = {name: given[name] for name in names if given[name] is not None}
    if given["killed"]:
        wish["killed"] = given["killed"] == "kill"
    if given["remove"]:
        wish["remove"] = True
    if given["source"] is not None:
        wish["definition"] = _json(_read(given["source"]), str(given["source"]))
    return _edit(at, flag, wish, given)


@flags_command.command("stage")
@click.argument("flag")
@click.argument("stage")
@click.option("--group", default="", help="A group that is in at every share.")
@click.option("--cohort", type=click.Choice(["own", "change"]), default="own", help="change: the users of the canary.")
@set_option
@why_option
@at_option
@wait_option
@here
def stage_command(at: Here, /, flag: str, stage: str, **given: Any) -> int:
    """Bring a flag to a stage: a group, a share like 5%, everyone, or off. A new flag is made: boolean."""
    wish = {"stage": stage, "group": given["group"], "cohort": given["cohort"]}
    return _edit(at, flag, wish, given)


@flags_command.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--bucketing", type=click.Choice(["v2", "v3"]), help="How users are split; left out: as the set has it.")
@set_option
@why_option
@wait_option
@here
def import_command(at: Here, file: Path, bucketing: str | None, set_name: str, why: str, wait: str | None) -> int:
    """Replace a set by a flags.json (- for stdin), and return once it is served."""
    body = {"document": _read(file), "bucketing": bucketing, "who": who(), "why": why or f"import of {file.name}"}
    answer = at.client().post(_base(set_name), body | _waiting(wait))
    for flag, reason in answer["bad"].items():
        say(f"flag {flag!r} is bad and answers PARSE_ERROR: {reason}")
    text = f"{answer['flags']} flags are served, version {answer['version'][:8]}"
    return _acknowledged(at, answer, text, wait)


@flags_command.command("export")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Write it to a file.")
@set_option
@here
def export_command(at: Here, out: Path | None, set_name: str) -> int:
    """Print a set as flags.json, letter by letter as it was imported or last edited."""
    document = _get(at, _base(set_name))["document"]
    if out is None:
        sys.stdout.write(document if document.endswith("\n") else document + "\n")
        return Exit.DONE
    try:
        out.write_text(document, encoding="utf-8")
    except OSError as error:
        raise InvalidInput("cannot-write", f"{out} cannot be written: {error}") from None
    say(f"wrote {out}")
    return Exit.DONE


@flags_command.command("history")
@click.argument("flag", default="")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many of the last.")
@set_option
@here
def history_command(at: Here, flag: str, limit: int, set_name: str) -> int:
    """Show who changed what, when and why; of one flag, or of the whole set."""
    edits = _get(at, f"{_base(set_name)}/history?{urlencode({'flag': flag, 'limit': limit})}")
    emit_json(edits) if at.as_json else emit(history_text(edits))
    return Exit.DONE


@flags_command.command("clients")
@here
def clients_command(at: Here) -> int:
    """List the connected clients, and which of them have what is served."""
    clients = _get(at, "/v1/flag-clients")
    emit_json(clients) if at.as_json else emit(clients_text(clients))
    return Exit.DONE


@flags_command.command("stale")
@click.option("--days", type=click.IntRange(0, 10_000), help="Unchanged for so long counts as settled; default 30.")
@set_option
@here
def stale_command(at: Here, days: int | None, set_name: str) -> int:
    """List the flags that have had their time, with their owners."""
    query = "" if days is None else f"?days={days}"
    found = _get(at, f"{_base(set_name)}/stale{query}")
    if at.as_json:
        emit_json(found)
    else:
        for each in found:
            emit(f"{each['flag']}  {each['why']}  owner: {each['owner'] or 'nobody'}")
    return Exit.DONE


@flags_command.command("evaluate")
@click.argument("flag")
@click.option("--user", help="The targeting key.")
@click.option("-c", "--context", "pairs", multiple=True, metavar="NAME=VALUE", help="JSON where it is JSON, else text.")
@click.option("--evaluator", type=click.Choice(["ours", "reference"]), default="ours", help="reference: flagd-core.")
@click.option("--in", "source", type=click.Path(path_type=Path), help="A flags.json instead of the running system.")
@click.option("--bucketing", type=click.Choice(["v2", "v3"]), default="v3", help="For --in: how users are split.")
@set_option
@here
def evaluate_command(at: Here, /, flag: str, user: str | None, pairs: tuple[str, ...], **given: Any) -> int:
    """Evaluate a flag for a user, as clients do."""
    context = dict(map(_pair, pairs)) | ({} if user is None else {"targetingKey": user})
    if given["source"] is not None:
        from hitless.app.flag_cases import evaluate
        from hitless.flags import FlagSet

        read = FlagSet.parse(_read(given["source"]), bucketing=given["bucketing"])
        answer = evaluate(read, flag, context, given["evaluator"])
    else:
        body = {"context": context, "evaluator": given["evaluator"]}
        answer = at.client().post(f"{_flag(given['set_name'], flag)}/evaluate", body)
    if at.as_json:
        emit_json(answer)
    else:
        emit(f"{json.dumps(answer['value'])}  variant {answer['variant']}  reason {answer['reason']}")
        if answer["error_code"]:
            say(f"{answer['error_code']}: {answer['error']}")
    return Exit.FAILED if answer["error_code"] else Exit.DONE


def _edit(at: Here, flag: str, wish: dict[str, Any], given: dict[str, Any]) -> int:
    if given["at_time"] and given["wait"]:
        raise InvalidInput("usage", "--at and --wait exclude each other", "see later: hitless flags clients")
    told = {"who": who(), "why": given["why"], "at": given["at_time"]}
    answer = at.client().post(_flag(given["set_name"], flag), wish | told | _waiting(given["wait"]))
    return _acknowledged(at, answer, edited_text(answer), given["wait"])


def _acknowledged(at: Here, answer: dict[str, Any], text: str, wait: str | None) -> int:
    emit_json(answer) if at.as_json else say(text)
    missing = answer.get("not_acknowledged") or []
    if not wait or not missing:
        return Exit.DONE
    say(f"after {wait} {len(missing)} of {answer['clients']} clients have not taken it: {', '.join(missing[:10])}")
    return Exit.WATCH_TIMED_OUT


def _waiting(wait: str | None) -> dict[str, float]:
    try:
        return {} if wait is None else {"wait_s": parse_duration_s(wait)}
    except ValueError as error:
        raise InvalidInput("usage", f"--wait: {error}", "like --wait 30s") from None


def _get(at: Here, path: str) -> Any:
    """Ask, also a controller that is just coming back."""
    return at.client().patiently(path, patience_s=5.0)


def _base(set_name: str) -> str:
    return f"/v1/flag-sets/{quote(set_name, safe='')}"


def _flag(set_name: str, flag: str) -> str:
    return f"{_base(set_name)}/flags/{quote(flag, safe='')}"


def _read(file: Path) -> str:
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput("no-file", f"{file} cannot be read: {error}") from None


def _json(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidInput("broken-json", f"{name} is no JSON: {error}") from None


def _pair(text: str) -> tuple[str, Any]:
    name, found, value = text.partition("=")
    if not found or not name:
        raise InvalidInput("usage", f"{text!r} is no NAME=VALUE", "like --context email=ann@shop.example")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
