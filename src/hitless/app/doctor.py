"""What is missing on this machine or does not fit, and how to mend it."""

import asyncio
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

from hitless.app.databases import Databases
from hitless.app.doctor_databases import examine_databases
from hitless.app.examined import Finding
from hitless.app.launches import Launches, missing
from hitless.app.lifecycle import OURS, Lifecycle
from hitless.app.paths import load_system, state_folder
from hitless.kit.errors import HitlessError
from hitless.plan.system import System
from hitless.runtime.postgres import binary, can_run
from hitless.runtime.supervisor import Shims
from hitless.traffic.binary import find_haproxy, version_of

OLDEST_KERNEL = (5, 3)  # pidfd_open
OLDEST_PYTHON = (3, 11)
ARCHITECTURES = ("x86_64", "aarch64")


def examine(file: Path) -> list[Finding]:
    """Look at the machine, then at the system file and what it needs, if it can be read."""
    findings = [*_machine(), *_gateway(), *_postgres()]
    try:
        system = load_system(file)
    except HitlessError as error:
        return [*findings, Finding(ok=False, code=error.code, text=error.text, hint=error.hint)]
    return [
        *findings,
        *_state(system, file),
        *_ports(system, file),
        *_releases(system, file),
        *_databases(system, file),
    ]


def _databases(system: System, file: Path) -> list[Finding]:
    state = state_folder(system, file)
    databases = Databases(system=system, folder=file.resolve().parent, state=state)
    running = Shims(state).status("postgres") is not None
    return asyncio.run(examine_databases(databases, embedded_runs=running))


def _machine() -> Iterator[Finding]:
    release = platform.release()
    numbers = tuple(int(part) for part in release.split("-")[0].split(".")[:2] if part.isdigit())
    fits = platform.system() == "Linux" and numbers >= OLDEST_KERNEL
    hint = "hitless needs Linux 5.3 or newer"
    yield Finding(ok=fits, code="kernel", text=f"{platform.system()} {release}", hint=hint)
    machine = platform.machine()
    yield Finding(ok=machine in ARCHITECTURES, code="architecture", text=machine, hint=f"one of {ARCHITECTURES}")
    python = sys.version_info[:2]
    yield Finding(
        ok=python >= OLDEST_PYTHON, code="python", text=platform.python_version(), hint="Python 3.11 or newer"
    )


def _gateway() -> Iterator[Finding]:
    try:
        path = find_haproxy()
        yield Finding(ok=True, code="haproxy", text=f"{path} {'.'.join(map(str, version_of(path)))}")
    except HitlessError as error:
        yield Finding(ok=False, code=error.code, text=error.text, hint=error.hint)


def _postgres() -> Iterator[Finding]:
    try:
        path = binary("postgres")
        found, said = can_run(path)
        hint = "root needs user namespaces (unshare --user), or run hitless as an ordinary user"
        yield Finding(ok=found, code="postgres", text=f"{path}: {said}", hint=hint)
    except HitlessError as error:
        yield Finding(ok=False, code=error.code, text=error.text, hint=error.hint)


def _state(system: System, file: Path) -> Iterator[Finding]:
    state = state_folder(system, file)
    owner = state / "system"
    if owner.exists() and owner.read_text() != system.system:
        text = f"{state} is the state folder of {owner.read_text()!r}"
        yield Finding(ok=False, code="other-system", text=text, hint="give this system a folder of its own: state:")
    elif state.exists() and not os.access(state, os.W_OK):
        yield Finding(ok=False, code="state-folder", text=f"{state} cannot be written", hint="chown it to yourself")
    else:
        yield Finding(ok=True, code="state-folder", text=str(state))
    yield from _leftovers(Shims(state))


def _leftovers(shims: Shims) -> Iterator[Finding]:
    """What a crash of the machine or a kill left: `up` mends it."""
    statuses = shims.all()
    lost = [name for name, status in statuses.items() if status.wanted and status.process is None]
    orphans = [name for name, status in statuses.items() if status.process is not None and status.shim is None]
    if lost:
        text = f"these should run and do not: {', '.join(lost)}"
        yield Finding(ok=False, code="leftovers", text=text, hint="hitless up starts them again; hitless down ends it")
    if orphans:
        text = f"nobody looks after {', '.join(orphans)}: the shims were killed"
        yield Finding(ok=False, code="leftovers", text=text, hint="hitless up gives them new ones")
    if not lost and not orphans:
        yield Finding(ok=True, code="leftovers", text=f"none; {len(statuses)} processes of ours run")


def _ports(system: System, file: Path) -> Iterator[Finding]:
    if Shims(state_folder(system, file)).status("gateway") is not None:
        yield Finding(ok=True, code="ports", text="held by our gateway")
        return
    try:
        Lifecycle(system, file).refuse_taken_ports()
    except HitlessError as error:
        hint = "end that program, or choose another port in the system file"
        yield Finding(ok=False, code=error.code, text=error.text, hint=hint)
    else:
        yield Finding(ok=True, code="ports", text="all free")


def _releases(system: System, file: Path) -> Iterator[Finding]:
    state = state_folder(system, file)
    if any(name not in OURS for name in Shims(state).all()):
        return  # what runs is looked at by `plan`
    launches = Launches(system, file.resolve().parent, state)
    for name, section in system.services.items():
        lacking = missing(launches.of(name, section, section.version, None))
        if lacking is None:
            yield Finding(ok=True, code="release", text=f"{name} {section.version}")
        else:
            yield Finding(ok=False, code=lacking.code, text=lacking.text, hint=lacking.hint)
