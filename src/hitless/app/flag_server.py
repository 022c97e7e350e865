"""The flag server as a process of the system: what it starts from, and where it is reached."""

import ipaddress
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from hitless.flags.bundle import DEFAULT, SetText, write_bundle
from hitless.flags.definitions import EMPTY
from hitless.flags.postgres import Definitions
from hitless.flags.published import BUNDLE, Published
from hitless.flags.served import TOKEN  # not from serve: what serves takes long to import
from hitless.flags.stages import Members
from hitless.kit.fence import Fence
from hitless.kit.files import socket_folder, write_atomic
from hitless.plan.system import System
from hitless.runtime.supervisor import ProcessSpec
from hitless.traffic.groups import read_groups

GRACE_S = 3.0


def write_first_bundle(state: Path) -> None:
    """Give the flag server something to start from, until the controller has published what the store holds."""
    bundle = state / BUNDLE
    if not bundle.exists():
        write_atomic(bundle, write_bundle((SetText(name=DEFAULT, bucketing="v3", text=EMPTY),)))


def flag_server(system: System, state: Path, folder: Path) -> ProcessSpec:
    """Return how the flag server is run: from the last good sets on disk, whoever else is dead."""
    sockets = socket_folder(state)
    return ProcessSpec(
        argv=(
            *(sys.executable, "-m", "hitless.flags.serve", "--bundle", str(state / BUNDLE)),
            *("--listen", f"unix:{sockets / 'flags.sock'}", "--grpc", f"unix:{sockets / 'flags-grpc.sock'}"),
        ),
        cwd=str(state),
        env={**_own_python(), **_token(system, state, folder)},
        grace_s=GRACE_S,
        pid_file=True,
    )


def publisher(system: System, state: Path, folder: Path, definitions: Definitions, fence: Fence) -> Published:
    """Return what brings definitions to the flag server."""
    return Published(
        definitions,
        state / BUNDLE,
        socket_folder(state) / "flags.sock",
        groups=members(system, folder),
        fence=fence,
    )


def members(system: System, folder: Path) -> Mapping[str, Members]:
    """Return who is in the groups of the system file."""
    users = read_groups(system, folder)
    return {name: Members(users=users[name], email=group.email or "") for name, group in system.groups.items()}


def _token(system: System, state: Path, folder: Path) -> dict[str, str]:
    """On loopback nobody needs a token unless one is configured; elsewhere it is at least that of the API."""
    control = system.control
    reference = control.flags_token
    if reference is None:
        local = all(_loopback(address) for address in (control.listen, control.grpc))
        return {} if local else {TOKEN: f"file:{state / 'run' / 'token'}"}
    path = reference.removeprefix("file:")
    if path != reference and not path.startswith("/"):
        return {TOKEN: f"file:{folder / path}"}
    return {TOKEN: reference}


def _loopback(address: str) -> bool:
    return ipaddress.ip_address(address.rpartition(":")[0].strip("[]")).is_loopback


def _own_python() -> dict[str, str]:
    """Pass on where modules are looked for, for a hitless that is not installed."""
    return {"PYTHONPATH": os.environ["PYTHONPATH"]} if "PYTHONPATH" in os.environ else {}
