"""The verbs of a change: plan it, apply it, watch it, stop it, take it back."""

import getpass
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import click

from hitless.app.account_text import markdown
from hitless.cli.follow import follow
from hitless.cli.main import Here
from hitless.cli.output import emit, emit_json, plan_text, say, show_text, simulated_text
from hitless.cli.reading import read_text
from hitless.cli.table import table
from hitless.kit.errors import Exit, InvalidInput, Refused
from hitless.kit.files import write_atomic
from hitless.kit.units import parse_duration_s

if TYPE_CHECKING:  # its library costs each command a tenth of a second
    from hitless.cli.client import Client

here = click.pass_obj
why_option = click.option("--why", default="", help="The reason; it stands in the journal.")


@click.command("plan")
@click.argument("change", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Write the plan to a file, for apply.")
@click.option("--simulate", type=click.IntRange(1, 10_000), help="Try it so often in a simulated world, with faults.")
@here
def plan_command(at: Here, change: Path, out: Path | None, simulate: int | None) -> int:
    """Show every step of a change with its inverse, and what speaks against it."""
    body: dict[str, Any] = {"source": _read_change(change), "file": str(change)}
    if simulate is None:
        plan = at.client().post("/v1/plan", body)
    else:
        plan = at.client().post("/v1/plan", body | {"simulate": simulate}, within_s=60.0 + 0.25 * simulate)
    simulated = plan.get("simulated")
    if out is not None:
        write_atomic(out, json.dumps({"plan": plan}), mode=0o644)
    emit_json(plan) if at.as_json else emit(plan_text(plan))
    if simulated and not at.as_json:
        emit(simulated_text(simulated))
    if plan["refusals"]:
        return Exit.REFUSED
    return Exit.FAILED if simulated and simulated["broken"] else Exit.DONE


@click.command("apply")
@click.argument("change", type=click.Path(path_type=Path))
@click.option("--detach", is_flag=True, help="Return at once; the run goes on.")
@click.option("--timeout", help="Stop watching after this time; the run goes on.")
@click.option(
    "--approve",
    type=click.Choice(["contract"]),
    help="Agree beforehand to what cannot be undone; exit 3 if it is too early then, and by itself never done.",
)
@here
def apply_command(at: Here, change: Path, detach: bool, timeout: str | None, approve: str | None) -> int:  # noqa: FBT001
    """Carry a change (or a saved plan) out, and return when it is in force or taken back."""
    client, body = at.client(), {**_read_change_or_plan(change), "who": who()}
    if approve:
        body["approved_by"] = who()
    if crash_at := os.environ.get("HITLESS_CRASH_AT"):
        body["crash_at"] = crash_at
    run = client.tell("/v1/apply", body | {"key": uuid4().hex})["run"]
    if at.as_json:
        emit_json({"run": run})
    else:
        say(f"run {run}")
    if detach:
        return Exit.DONE
    end = _follow(at, run, timeout)
    if approve and end == Exit.DONE:
        _refuse_if_withheld(client, run, unless_due=True)
    return end


@click.command("watch")
@click.argument("run", required=False)
@click.option("--timeout", help="Stop watching after this time; the run goes on.")
@here
def watch_command(at: Here, run: str | None, timeout: str | None) -> int:
    """Follow a run to its end."""
    return _follow(at, run or _run_in_flight(at), timeout)


@click.command("hold")
@click.argument("run", required=False)
@why_option
@here
def hold_command(at: Here, run: str | None, why: str) -> int:
    """Let the run in flight wait where it is."""
    _tell(at, run or _run_in_flight(at), "hold", why)
    return Exit.DONE


@click.command("resume")
@click.argument("run", required=False)
@here
def resume_command(at: Here, run: str | None) -> int:
    """Let a held run go on."""
    _tell(at, run or _run_in_flight(at), "resume", "")
    return Exit.DONE


@click.command("abort")
@click.argument("run", required=False)
@why_option
@here
def abort_command(at: Here, run: str | None, why: str) -> int:
    """Take the run in flight back, and return when it is whole again."""
    run = run or _run_in_flight(at)
    after = _tell(at, run, "abort", why)
    return _back(_follow(at, run, None, after))


@click.command("rollback")
@click.argument("run")
@click.option("--accept-loss", type=click.IntRange(min=0), default=0, help="Rows that the old side cannot hold.")
@why_option
@here
def rollback_command(at: Here, run: str, accept_loss: int, why: str) -> int:
    """Take a completed run back."""
    after = _tell(at, run, "rollback", why, accept_loss=accept_loss)
    return _back(_follow(at, run, None, after))


@click.command("contract")
@click.argument("run")
@click.option("--yes", is_flag=True, help="Ask nothing.")
@click.option("--accept-loss", type=click.IntRange(min=0), default=0, help="Rows that the new side cannot hold.")
@here
def contract_command(at: Here, run: str, yes: bool, accept_loss: int) -> int:  # noqa: FBT001
    """Approve what a completed run has left open: the old side goes, and there is no way back."""
    client = at.client()
    waiting = client.get(f"/v1/runs/{_run_id(run)}")["open"]
    for step in waiting["steps"] if waiting else ():
        say(f"  {step}")
    if waiting and not yes and sys.stdin.isatty():
        click.confirm("there is no way back from this; go on?", abort=True, err=True)
    after = client.tell(f"/v1/runs/{_run_id(run)}/contract", {"who": who(), "accept_loss": accept_loss}).get("after", 0)
    end = _follow(at, run, None, after)
    _refuse_if_withheld(client, run)
    return end


def _refuse_if_withheld(client: "Client", run: str, *, unless_due: bool = False) -> None:
    """Raise Refused for what was approved and not done; what is due by itself may be left to its time."""
    still = client.patiently(f"/v1/runs/{run}")["open"]
    if still is not None and (why := still["withheld"]) and not (unless_due and still["due_at"] is not None):
        raise Refused(why["code"], why["text"], why["hint"])


def who() -> str:
    """Name the person at the command line, as the machine knows him."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


@click.command("show")
@click.argument("run")
@click.option("--report", type=click.Choice(["md", "json"]), help="The whole account of a run, from the journal alone.")
@here
def show_command(at: Here, run: str, report: str | None) -> int:
    """Show a run (by its id) or a saved plan (by its file): steps, requests, verdicts."""
    if report is not None:
        account = at.client().get(f"/v1/runs/{_run_id(run)}/report")
        emit_json(account) if report == "json" or at.as_json else emit(markdown(account).rstrip())
        return Exit.DONE
    if Path(run).is_file():
        plan = _read_plan(Path(run))
        emit_json(plan) if at.as_json else emit(plan_text(plan))
        return Exit.DONE
    shown = at.client().get(f"/v1/runs/{_run_id(run)}")
    emit_json(shown) if at.as_json else emit(show_text(shown))
    return Exit.DONE


@click.command("runs")
@here
def runs_command(at: Here) -> int:
    """List the runs, the newest first."""
    runs = at.client().get("/v1/runs")
    if at.as_json:
        emit_json(runs)
    else:
        emit(table([("RUN", "CHANGE", "STATE"), *((run["run"], run["change"], run["state"]) for run in runs)]))
    return Exit.DONE


def _follow(at: Here, run: str, timeout: str | None, after: int = 0) -> Exit:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        timeout_s = parse_duration_s(timeout) if timeout else None
    except ValueError as error:
        raise InvalidInput("invalid-value", f"--timeout: {error}") from None
    return follow(at.client(), _run_id(run), as_json=at.as_json, timeout_s=timeout_s, after=after)


def _back(end: Exit) -> Exit:
    """Whoever asked for the way back and got there has what he wanted."""
    return Exit.DONE if end is Exit.ROLLED_BACK else end


def _tell(at: Here, run: str, verb: str, why: str, **more: int) -> int:
    """Tell a run something; returns the position of the journal behind which the consequences stand."""
    answer = at.client().tell(f"/v1/runs/{_run_id(run)}/{verb}", {"why": why, "who": who(), **more})
    answer = {"run": run, "after": 0} | answer
    if at.as_json:
        emit_json(answer)
    else:
        say(f"run {run}: {verb}")
    return int(answer["after"])


def _run_in_flight(at: Here) -> str:
    runs = [run["run"] for run in at.client().get("/v1/runs") if run["state"] in ("running", "held")]
    if len(runs) == 1:
        return str(runs[0])
    if not runs:
        raise Refused("no-run", "no run is in flight", "see: hitless runs")
    raise InvalidInput("which-run", f"{len(runs)} runs are in flight: {', '.join(runs)}", "name one of them")


def _run_id(text: str) -> str:
    if not text.isalnum():
        raise InvalidInput("unknown-run", f"there is no run {text!r}", "see: hitless runs")
    return text


def _read_change(file: Path) -> str:
    from hitless.plan.change import read_change

    source = read_text(file)
    read_change(source, file=str(file))
    return source


def _read_change_or_plan(file: Path) -> dict[str, Any]:
    """Read a change file, or a plan file made from one: then the plan must still be the same."""
    if read_text(file).lstrip().startswith("{"):
        plan = _read_plan(file)
        return {"source": plan["source"], "file": plan["change"], "hash": plan["hash"]}
    return {"source": _read_change(file), "file": str(file)}


def _read_plan(file: Path) -> dict[str, Any]:
    try:
        plan = json.loads(read_text(file))["plan"]
        if not isinstance(plan["source"], str) or not isinstance(plan["hash"], str):
            raise TypeError(plan)  # noqa: TRY301
    except (ValueError, KeyError, TypeError):
        raise InvalidInput("broken-plan", f"{file} is no whole plan", "make it again: hitless plan -o") from None
    return dict(plan)
