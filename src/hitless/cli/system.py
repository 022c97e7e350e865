"""The verbs of a system: make it, start it, look at it, stop it."""

import asyncio
import time
from typing import Any
from uuid import uuid4

import click

from hitless.cli.follow import follow
from hitless.cli.main import Here
from hitless.cli.output import emit, emit_json, say, status_text
from hitless.kit.errors import Exit, HitlessError, Refused

here = click.pass_obj


@click.command("init")
@click.argument("name", default="my-system")
@click.option("--schema", type=click.Choice(["system", "change"]), help="Print the JSON Schema of a file instead.")
@here
def init_command(at: Here, name: str, schema: str | None) -> int:
    """Write a first system file that runs as it is."""
    if schema is not None:
        from hitless.plan.schema import published

        emit(published("change" if schema == "change" else "system"))
        return Exit.DONE
    from hitless.app.starter import starter_file
    from hitless.cli.importing import write_new

    write_new(at.file, starter_file(name))
    _answer(at, {"file": str(at.file)}, f"wrote {at.file}; next: hitless up")
    return Exit.DONE


@click.command("up")
@here
def up_command(at: Here) -> int:
    """Start everything, and return when all services are ready."""
    from hitless.app.lifecycle import Lifecycle
    from hitless.app.paths import load_system

    began = time.monotonic()
    system = load_system(at.file)
    lifecycle = Lifecycle(system, at.file)
    fresh = asyncio.run(lifecycle.start())
    try:
        answer = at.client().patiently_post("/v1/up")
    except HitlessError:
        if fresh:  # what cannot come up whole leaves nothing behind
            asyncio.run(lifecycle.stop(remember=False))
        raise
    took = f"{time.monotonic() - began:.1f} s"
    _answer(at, answer, f"{system.system} is up after {took}: http://{system.gateway.listen}/")
    return Exit.DONE


@click.command("down")
@click.option("--hold", is_flag=True, help="Hold a run in flight first; it goes on after the next up and resume.")
@here
def down_command(at: Here, hold: bool) -> int:  # noqa: FBT001
    """Drain, stop everything, and lose nothing; the next up brings back what was in force."""
    from hitless.app.lifecycle import Lifecycle
    from hitless.app.paths import load_system

    _rest(at, hold=hold)
    asyncio.run(Lifecycle(load_system(at.file), at.file).stop())
    _answer(at, {"down": True}, "everything is stopped; hitless up brings it back as it was")
    return Exit.DONE


@click.command("status")
@here
def status_command(at: Here) -> int:
    """Show what runs: versions, shares, instances, the run in flight."""
    status = at.client().patiently("/v1/status", patience_s=5.0)
    emit_json(status) if at.as_json else emit(status_text(status))
    return Exit.DONE


@click.command("scale")
@click.argument("service")
@click.argument("instances", type=int)
@here
def scale_command(at: Here, service: str, instances: int) -> int:
    """Change the number of instances of a service."""
    import yaml

    source = yaml.safe_dump({"change": f"scale-{service}"[:60], "services": {service: {"instances": instances}}})
    run = at.client().tell("/v1/apply", {"source": source, "file": "scale", "key": uuid4().hex})["run"]
    return follow(at.client(), run, as_json=at.as_json)


@click.command("logs")
@click.argument("name")
@click.option("-n", "--lines", default=50, help="How many of the last lines.")
@here
def logs_command(at: Here, name: str, lines: int) -> int:
    """Print the last lines of a service, an instance, or one of ours (controller, gateway, postgres, recorder)."""
    from hitless.app.lifecycle import logs_of

    logs = logs_of(at.state, name, lines)
    if at.as_json:
        emit_json(logs)
    else:
        for process, text in logs.items():
            emit("\n".join(f"{process}  {line}" for line in text.splitlines()))
    return Exit.DONE


@click.command("doctor")
@here
def doctor_command(at: Here) -> int:
    """Name what is missing or does not fit on this machine, and how to mend it."""
    from hitless.app.doctor import examine

    findings = examine(at.file)
    if at.as_json:
        emit_json([finding.to_json() for finding in findings])
    else:
        for finding in findings:
            emit(f"{'ok  ' if finding.ok else 'BAD '} {finding.code}: {finding.text}")
            if not finding.ok and finding.hint:
                emit(f"       hint: {finding.hint}")
    return Exit.DONE if all(finding.ok for finding in findings) else Exit.FAILED


@click.command("serve")
@here
def serve_command(at: Here) -> int:
    """Run the controller in the foreground (`up` does this under a shim)."""
    from hitless.server.main import main

    return main(at.file)


def _rest(at: Here, *, hold: bool) -> None:
    """Make sure that no run is under way, or that it is held at a safe place."""
    try:
        run = at.client().get("/v1/status")["run"]
    except HitlessError as error:
        if error.code == "not-running":
            return
        raise
    if run is None or run["state"] == "held":
        return
    if not hold:
        hint = "wait for it, or: hitless down --hold"
        raise Refused("run-under-way", f"run {run['run']} ({run['change']}) is under way", hint)
    at.client().tell(f"/v1/runs/{run['run']}/hold", {"why": "hitless down --hold"})
    at.client().tell(f"/v1/runs/{run['run']}/settle", {})


def _answer(at: Here, content: dict[str, Any], text: str) -> None:
    if at.as_json:
        emit_json(content)
    else:
        say(text)
