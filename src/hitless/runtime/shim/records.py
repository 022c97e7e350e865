"""The files of a process folder: spec.json (what is wanted), status.json (what is), lock, log."""
# ruff: noqa: PTH105, PTH123  see the folder's docstring

import fcntl
import json
import os

BOOT_ID_FILE = "/proc/sys/kernel/random/boot_id"


class NoSpec(Exception):
    """The folder does not say what to run."""


class Spec:
    """What the shim reads of spec.json; the rest of the file belongs to who wrote it."""

    def __init__(self, folder: str) -> None:
        try:
            with open(f"{folder}/spec.json", encoding="utf-8") as file:
                raw = json.load(file)
            self.argv: list[str] = raw["argv"]
            self.cwd: str = raw["cwd"]
            self.env: dict[str, str] = dict(raw["env"])
            self.inherit: bool = raw["inherit_environment"]
            self.wanted: bool = raw["wanted"]
            self.stop_signal: int = raw["stop_signal"]
            self.grace_s: float = raw["grace_s"]
            self.pid_file: str | None = raw["pid_file"]
            self.log_bytes: int = raw["log_bytes"]
            self.log_files: int = raw["log_files"]
            self.owns_orphans: bool = raw.get("owns_orphans", True)
            self.longest_delay_s: float = raw.get("longest_delay_s", 10.0)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise NoSpec(str(error)) from error


class Status:
    """What the shim writes to status.json; one object for its whole life."""

    def __init__(self) -> None:
        self.shim = identity(os.getpid())
        self.child: dict[str, object] | None = None
        self.state = "starting"
        self.restarts = 0
        self.last_exit: dict[str, object] | None = None

    def write(self, folder: str) -> None:
        """Replace the file at one stroke. Not synced: what it says ends with the boot anyway."""
        known = {name: getattr(self, name) for name in ("shim", "child", "state", "restarts", "last_exit")}
        replace(f"{folder}/status.json", json.dumps(known))


def read_status(folder: str) -> dict[str, object]:
    """Return what the last shim wrote; empty if there is nothing that can be read."""
    try:
        with open(f"{folder}/status.json", encoding="utf-8") as file:
            known = json.load(file)
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def replace(path: str, text: str) -> None:
    """Write a file whole or not at all."""
    draft = f"{path}.draft"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(draft, path)


def take_lock(folder: str) -> int | None:
    """Hold the folder for as long as this process lives; None if another one holds it."""
    try:
        descriptor = os.open(f"{folder}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError as error:
        raise NoSpec(str(error)) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def identity(pid: int) -> dict[str, object] | None:
    """Return boot, pid and start time of a living process, None if it is gone (the same as kit.identity, lighter)."""
    fields = stat_of(pid)
    if fields is None or fields[0] in "ZX":
        return None
    with open(BOOT_ID_FILE, encoding="ascii") as file:
        return {"boot_id": file.read().strip(), "pid": pid, "start_ticks": int(fields[19])}


def stat_of(pid: int) -> list[str] | None:
    """Return /proc/PID/stat from the state on: state, ppid, pgrp, session, ...; None if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            stat = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return stat[stat.rindex(")") + 2 :].split()
