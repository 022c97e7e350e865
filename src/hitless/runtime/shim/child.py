"""Forking, signalling and cleaning up the one process of a shim."""

import contextlib
import ctypes
import os
import signal
import time

from hitless.runtime.shim.records import Spec, identity, stat_of
from hitless.runtime.shim.references import Unresolved, environment

PR_SET_CHILD_SUBREAPER = 36
KILL_BOUND_S = 2.0  # how long a killed process may take to be gone before it is given up
CANNOT_START = 127  # what a shell says, too


def adopt_orphans() -> None:
    """Become the parent of what the process leaves behind, so that it can be found and ended."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def fork_held(spec: Spec, log: str) -> tuple[int, int]:
    """Fork the process but hold it before exec: a byte written to the descriptor lets it go, closing it ends it.

    So its identity is on disk before it does anything; a shim that is killed in between leaves nothing.
    """
    hear, say = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(say)
            _become(spec, log, hear)
        finally:
            os._exit(CANNOT_START)
    os.close(hear)
    return pid, say


def _become(spec: Spec, log: str, hear: int) -> None:
    os.setsid()
    _plain_signals()
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.dup2(hear, 3)
    os.closerange(4, 256)  # above all the lock: only the shim may hold it
    go = os.read(3, 1)
    if not go:
        return
    os.close(3)
    try:
        os.chdir(spec.cwd)
        os.execvpe(spec.argv[0], spec.argv, environment(spec.env, dict(os.environ), inherit=spec.inherit))  # noqa: S606
    except (OSError, ValueError, Unresolved) as error:
        os.write(2, f"hitless: cannot start {spec.argv[0]} in {spec.cwd}: {error}\n".encode())


def _plain_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)


class Child:
    """A living process: forked by this shim, or taken over from one that was killed."""

    def __init__(self, known: dict[str, object], *, own: bool) -> None:
        self.known = known
        self.own = own  # forked by this shim, so that its exit code can be had
        self.pid = int(str(known["pid"]))
        self.since = time.monotonic()
        self.pidfd = os.pidfd_open(self.pid)

    @classmethod
    def adopt(cls, known: object) -> "Child | None":
        """Take over the process that a status file names, if exactly that one still lives."""
        if not isinstance(known, dict) or not isinstance(known.get("pid"), int):
            return None
        try:
            child = cls(known, own=False)
        except ProcessLookupError:
            return None
        if identity(child.pid) == known:  # asked with the pidfd open: it cannot be a stranger from here on
            return child
        child.close()
        return None

    def signal(self, number: int) -> None:
        """Send a signal to exactly this process; nothing happens if it is gone."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, number)

    def bury(self, patience_s: float = 0.0, *, orphans: bool = True) -> dict[str, object]:
        """After its death: end what it left behind, and return how it ended (unknown if it was taken over).

        `orphans`: also what left its session; without it only what shares the session or the group.
        """
        # before it is reaped: until then its number cannot mean a stranger
        end_leftovers(self.pid, patience_s, orphans=orphans)
        code: int | None = None
        if self.own:
            code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.close()
        signalled = code is not None and code < 0
        return {
            "code": None if signalled else code,
            "signal": -code if code is not None and signalled else None,
            "at": time.time(),
        }

    def close(self) -> None:
        """Let go of the pidfd."""
        os.close(self.pidfd)


def end_leftovers(leader: int, patience_s: float, *, orphans: bool) -> None:
    """End what is left of the session that a dead process led, and its orphans: TERM, and KILL after the patience."""
    parent = os.getpid() if orphans else -1
    begun = time.monotonic()
    number = signal.SIGTERM if patience_s > 0 else signal.SIGKILL
    signalled: set[int] = set()
    while (pids := _leftovers(leader, parent)) and time.monotonic() < begun + max(0.0, patience_s) + KILL_BOUND_S:
        if number == signal.SIGTERM and time.monotonic() >= begun + patience_s:
            number, signalled = signal.SIGKILL, set()
        for pid in set(pids) - signalled:
            _send(pid, leader, parent, number)
        signalled.update(pids)
        time.sleep(0.005)
        _reap_orphans(leader)


def _leftovers(leader: int, parent: int) -> list[int]:
    if identity(leader) is not None:  # the number belongs to a stranger by now, and so do session and group
        return [pid for pid in _all_pids() if pid != leader and _is_orphan(stat_of(pid), parent)]
    return [pid for pid in _all_pids() if pid != leader and _belongs(stat_of(pid), leader, parent)]


def _all_pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208  see the folder's docstring


def _is_orphan(fields: list[str] | None, parent: int) -> bool:
    return fields is not None and fields[0] not in "ZX" and int(fields[1]) == parent


def _belongs(fields: list[str] | None, leader: int, parent: int) -> bool:
    if fields is None or fields[0] in "ZX":
        return False
    its_parent, group, session = (int(field) for field in fields[1:4])
    return its_parent == parent or leader in (group, session)


def _send(pid: int, leader: int, parent: int, number: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if _belongs(stat_of(pid), leader, parent):  # asked again with the pidfd open
            signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        pass
    finally:
        os.close(descriptor)


def _reap_orphans(leader: int) -> None:
    for pid in _all_pids():
        fields = stat_of(pid)
        if pid != leader and fields is not None and fields[0] == "Z" and int(fields[1]) == os.getpid():
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
