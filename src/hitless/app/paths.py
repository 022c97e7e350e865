"""Where a system's files lie, and whether a state folder is this system's."""

import os
from pathlib import Path

from hitless.kit.errors import InvalidInput, Refused
from hitless.kit.files import socket_folder, write_atomic
from hitless.plan.system import System, read_system


def load_system(file: Path) -> System:
    """Read and check the system file. Raises InvalidInput."""
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        hint = "make one: hitless init" if isinstance(error, FileNotFoundError) else ""
        raise InvalidInput("no-system-file", f"{file} cannot be read: {error}", hint) from None
    return read_system(text, file=str(file))


def state_folder(system: System, file: Path) -> Path:
    """Return the folder of the embedded state: next to the file, unless the file says otherwise."""
    return (file.resolve().parent / system.state).resolve()


def claim_state_folder(system: System, state: Path) -> None:
    """Make the state folder, private to its owner. Raises Refused if it is another system's."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    owner = state / "system"
    if not owner.exists():
        write_atomic(owner, system.system)
    elif owner.read_text() != system.system:
        raise Refused(
            "other-system",
            f"{state} is the state folder of {owner.read_text()!r}, not of {system.system!r}",
            "give this system a folder of its own: state: in its file",
        )
    for folder in ("run", "gateway", "processes"):
        (state / folder).mkdir(mode=0o700, exist_ok=True)
    _claim_socket_folder(socket_folder(state))


def _claim_socket_folder(sockets: Path) -> None:
    sockets.mkdir(mode=0o700, parents=True, exist_ok=True)
    stat = sockets.stat()
    if stat.st_uid != os.getuid() or stat.st_mode & 0o077:
        raise Refused("sockets-exposed", f"{sockets} is open to others", f"remove it, or: chmod 700 {sockets}")
