"""Starting, asking and stopping shims: one folder `{state}/processes/NAME/` for each process of ours."""

import asyncio
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from hitless.kit.errors import HitlessError
from hitless.kit.files import write_atomic
from hitless.kit.identity import Identity
from hitless.kit.threads import in_thread
from hitless.runtime.ports import Condition, Ended

SHIM = Path(__file__).parent / "shim" / "__main__.py"
START_TIMEOUT_S = 10.0
KILL_MARGIN_S = 5.0  # after the time of grace: for the kernel to end what was killed
POLL_S = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """How one process is run. `env` values may be references (`env:NAME`, `file:/path`), resolved at each start."""

    argv: tuple[str, ...]
    cwd: str
    env: Mapping[str, str] = field(default_factory=dict)
    inherit_environment: bool = False  # True: all of our own environment, not only PATH, HOME and LANG
    stop_signal: int = signal.SIGTERM
    grace_s: float = 10.0  # from the stop signal to KILL
    owns_orphans: bool = True  # when it ends, what it left behind is ended; False: only what shares its session
    pid_file: bool = False  # keep `{state}/run/NAME.pid` for as long as it is wanted
    longest_delay_s: float = 10.0  # between a quick exit and the next start
    log_bytes: int = 8 << 20  # of one file
    log_files: int = 3
    epoch: int = 0  # of the controller that started it
    about: Mapping[str, Any] = field(default_factory=dict)  # what its owner wants to remember; no secrets

    def same_process(self, other: "ProcessSpec") -> bool:
        """Tell whether both say to run the same thing."""
        return (self.argv, self.cwd, dict(self.env)) == (other.argv, other.cwd, dict(other.env))


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessStatus:
    """One process as it is now, by the identities of the living."""

    name: str
    spec: ProcessSpec
    wanted: bool
    state: Condition
    process: Identity | None  # None: between two lives, or gone
    shim: Identity | None  # None: nobody looks after it (killed); `mend` gives it a new one
    restarts: int
    last_exit: Ended | None


class Shims:
    """All processes of one state folder. Only names that are folder names already may be used."""

    def __init__(self, state: Path) -> None:
        self._folder = state.absolute() / "processes"
        self._run = state.absolute() / "run"

    async def start(self, name: str, spec: ProcessSpec) -> None:
        """Start a process under a shim; returns once it was started. What runs with the same spec stays as it is.

        Raises HitlessError: `already-runs` if something else runs under that name, `shim-failed` if it cannot be run.
        """
        if self.prepare(name, spec):
            await self.launch(name)

    def prepare(self, name: str, spec: ProcessSpec) -> bool:
        """Write down what is wanted; False if it runs already. The first half of `start`."""
        there = self.status(name)
        if there is not None and (there.process or there.shim):
            if not there.spec.same_process(spec) or not there.wanted:
                raise HitlessError("already-runs", f"{name} runs with another specification", f"stop {name} first")
            return there.shim is None
        folder = self._folder / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._run.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._locked(name) as nobody_there:
            if nobody_there:  # what is known is about an earlier life, perhaps before a reboot
                (folder / "status.json").unlink(missing_ok=True)
        self._replace(name, self._data(spec, name) | {"wanted": True})
        return True

    async def launch(self, name: str) -> None:
        """Give a process folder its shim, and so its process, unless it has one. The second half of `start`."""
        await in_thread(lambda: self._launch(name))

    async def stop(self, name: str, *, grace_s: float | None = None) -> None:
        """End a process and its shim, and forget it; returns when both are gone. The log stays until the next start.

        Raises HitlessError `still-alive` if it outlives KILL.
        """
        if self.ask_to_stop(name, grace_s=grace_s):
            await self.gone(name)

    def ask_to_stop(self, name: str, *, grace_s: float | None = None) -> bool:
        """Tell the shim to end its process; False if there is nothing. The first half of `stop`."""
        there = self.status(name)
        if there is None:
            return False
        data = self._data(there.spec, name) | {"wanted": False}
        data["grace_s"] = there.spec.grace_s if grace_s is None else grace_s
        self._replace(name, data)
        if there.shim is not None:
            there.shim.signal(signal.SIGTERM)
        return True

    async def gone(self, name: str) -> None:
        """Wait until a process that was asked to stop is dead, and forget it. The second half of `stop`."""
        begun = time.monotonic()
        while (there := self.status(name)) is not None:
            if there.process is None and there.shim is None and self._forget(name):
                return
            bound_s = there.spec.grace_s + KILL_MARGIN_S
            if time.monotonic() > begun + bound_s:
                raise HitlessError("still-alive", f"{name} lives {bound_s:g} s after it was stopped", "hitless doctor")
            if there.process is not None and there.shim is None:
                await self.launch(name)  # its shim was killed: a new one takes the process over and ends it
                begun = time.monotonic()
            await asyncio.sleep(POLL_S)

    async def mend(self, names: Collection[str] | None = None) -> list[str]:
        """Give a new shim to every wanted process that has none; returns their names. Living ones are adopted.

        `names`: those alone. A shim has the environment of who makes it, so only who starts a process may mend it.
        """
        lost = [
            name
            for name, status in self.all().items()
            if status.wanted and status.shim is None and (names is None or name in names)
        ]
        for name in lost:
            await self.launch(name)
        return lost

    def status(self, name: str) -> ProcessStatus | None:
        """Return what is there under this name; None: nothing."""
        try:
            raw = json.loads((self._folder / name / "spec.json").read_text())
            spec = _spec(raw)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return _status(name, spec, wanted=bool(raw["wanted"]), seen=self._seen(name))

    def all(self) -> dict[str, ProcessStatus]:
        """Return every process of the folder by its name, in order."""
        names = sorted(entry.name for entry in self._folder.iterdir()) if self._folder.is_dir() else []
        return {name: status for name in names if (status := self.status(name)) is not None}

    def remember(self, name: str, about: Mapping[str, Any]) -> None:
        """Replace what the owner wants to remember about a process; nothing happens if there is none."""
        there = self.status(name)
        if there is not None:
            self._replace(name, self._data(there.spec, name) | {"wanted": there.wanted, "about": dict(about)})

    def log_tail(self, name: str, lines: int = 20) -> str:
        """Return the last lines of its log, also after it was stopped."""
        return log_tail(self._folder / name / "log", lines)

    def _launch(self, name: str) -> None:
        # -I -S: nothing of site-packages or the user's PYTHON* variables; starts in a third of the time.
        argv = [sys.executable, "-I", "-S", str(SHIM), str(self._folder / name)]
        try:
            done = subprocess.run(
                argv, check=False, capture_output=True, timeout=START_TIMEOUT_S, start_new_session=True
            )
        except subprocess.TimeoutExpired:
            raise HitlessError("shim-failed", f"the shim of {name} said nothing for {START_TIMEOUT_S:g} s") from None
        if done.returncode != 0 and self.status(name) is not None:  # None: forgotten in the meantime
            said = done.stderr.decode(errors="replace").strip()[-500:]
            raise HitlessError(
                "shim-failed", f"the shim of {name} ended with {done.returncode}: {said}", "hitless doctor"
            )

    def _replace(self, name: str, data: dict[str, Any]) -> None:
        write_atomic(self._folder / name / "spec.json", json.dumps(data))

    def _data(self, spec: ProcessSpec, name: str) -> dict[str, Any]:
        data = {key: getattr(spec, key) for key in ProcessSpec.__slots__}
        path = str(self._run / f"{name}.pid") if spec.pid_file else None
        return data | {"env": dict(spec.env), "about": dict(spec.about), "pid_file": path}

    def _seen(self, name: str) -> dict[str, Any]:
        try:
            seen = json.loads((self._folder / name / "status.json").read_text())
        except (OSError, ValueError):
            return {}
        return seen if isinstance(seen, dict) else {}

    def _forget(self, name: str) -> bool:
        with self._locked(name) as nobody_there:
            if nobody_there:
                (self._folder / name / "spec.json").unlink(missing_ok=True)
                (self._folder / name / "status.json").unlink(missing_ok=True)
            return nobody_there

    @contextmanager
    def _locked(self, name: str) -> Iterator[bool]:
        """Hold the lock of a folder, if no shim holds it: while it is held, none can begin."""
        descriptor = os.open(self._folder / name / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield _take(descriptor)
        finally:
            os.close(descriptor)


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def log_tail(log: Path, lines: int) -> str:
    """Return the last lines of a log and, where that is too short, of its predecessor; reads at most 64 KiB of each."""
    text = b""
    for path in (log, log.with_name(f"{log.name}.1")):
        if text.count(b"\n") <= lines and path.exists():
            with path.open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - 65536))
                text = file.read() + text
    return "\n".join(text.decode(errors="replace").splitlines()[-lines:])


def _spec(raw: dict[str, Any]) -> ProcessSpec:
    known = {key: raw[key] for key in ProcessSpec.__slots__ if key in raw}
    return ProcessSpec(**known | {"argv": tuple(raw["argv"]), "pid_file": raw["pid_file"] is not None})


def _status(name: str, spec: ProcessSpec, *, wanted: bool, seen: dict[str, Any]) -> ProcessStatus:
    process, shim = _living(seen.get("child")), _living(seen.get("shim"))
    state: Condition = seen["state"] if seen.get("state") in get_args(Condition) else "starting"
    if not wanted:  # its shim may not have heard of it yet
        state = "stopped" if process is None and shim is None else "stopping"
    elif shim is None:
        state = "running" if process is not None else "lost"
    last = seen.get("last_exit")
    return ProcessStatus(
        name=name,
        spec=spec,
        wanted=wanted,
        state=state,
        process=process,
        shim=shim,
        restarts=int(seen.get("restarts", 0)),
        last_exit=Ended(**last) if isinstance(last, dict) else None,
    )


def _living(known: object) -> Identity | None:
    if not isinstance(known, dict):
        return None
    identity = Identity(**known)
    return identity if identity.alive() else None
