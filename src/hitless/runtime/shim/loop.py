"""The life of a shim: start or adopt, wait, record, start again, stop."""
# ruff: noqa: PTH108  see the folder's docstring

import contextlib
import os
import select
import signal
import time

from hitless.runtime.shim import schedule
from hitless.runtime.shim.child import Child, adopt_orphans, fork_held
from hitless.runtime.shim.log import begin_anew, keep_within
from hitless.runtime.shim.records import NoSpec, Spec, Status, identity, read_status, replace

LOG_CHECK_S = 1.0  # a log may exceed its bound by what is written in this time
KILL_AGAIN_S = 1.0
START_AGAIN_S = 1.0


class Shim:
    """One process folder and the one process in it."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.log = f"{folder}/log"
        self.spec = Spec(folder)
        self.status = Status()
        self.child: Child | None = None
        self.streak = 0
        self.start_at = 0.0  # monotonic
        self.kill_at: float | None = None  # monotonic; set while stopping
        self.asked_to_stop = not self.spec.wanted

    def begin(self) -> None:
        """Listen to signals, then adopt the process that lives or start one."""
        self._listen()
        if self.spec.owns_orphans:
            adopt_orphans()
        before = read_status(self.folder)
        self.child = Child.adopt(before.get("child"))
        if not before:
            begin_anew(self.log, self.spec.log_files)
        self._remember(before)
        self._start_if_due()

    def run(self) -> None:
        """Keep the process going until it is asked to stop and has ended."""
        while not (self.asked_to_stop and self.child is None):
            self._stop_if_asked()
            self._wait()
            self._reap()
            self._start_if_due()
            keep_within(self.log, self.spec.log_bytes, self.spec.log_files)
        if self.spec.pid_file is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.spec.pid_file)
        self._say("stopped")

    def _listen(self) -> None:
        self._wake, alarm = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(alarm, False)
        signal.set_wakeup_fd(alarm, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._on_stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGINT, signal.SIGHUP):  # of a terminal; only TERM is meant for us
            signal.signal(number, signal.SIG_IGN)

    def _on_stop(self, *_: object) -> None:
        self.asked_to_stop = True

    def _remember(self, before: dict[str, object]) -> None:
        """Go on counting where the last shim of this process was killed."""
        restarts, last_exit = before.get("restarts"), before.get("last_exit")
        self.status.restarts = restarts if isinstance(restarts, int) else 0
        self.status.last_exit = last_exit if isinstance(last_exit, dict) else None
        if self.child is not None:
            self.status.child = self.child.known
            self._say("running")
        elif before.get("child"):  # it ended while nobody looked
            self.status.restarts += 1
            self.status.last_exit = {"code": None, "signal": None, "at": time.time()}

    def _start_if_due(self) -> None:
        if self.child is not None or self.asked_to_stop or time.monotonic() < self.start_at:
            return
        pid, go = fork_held(self.spec, self.log)
        known = identity(pid)
        try:
            if known is not None:
                self._announce(known)
                os.write(go, b"g")
                self.child = Child(known, own=True)
        except OSError:  # a full disk: what cannot be written down is not let go
            self.start_at = time.monotonic() + START_AGAIN_S
        finally:
            os.close(go)

    def _announce(self, known: dict[str, object]) -> None:
        self.status.child, self.status.state = known, "running"
        self.status.write(self.folder)
        if self.spec.pid_file is not None:
            replace(self.spec.pid_file, f"{known['pid']}\n")

    def _stop_if_asked(self) -> None:
        if not self.asked_to_stop or self.child is None:
            return
        now = time.monotonic()
        if self.kill_at is None:
            with contextlib.suppress(NoSpec):
                self.spec = Spec(self.folder)  # who stops may have set the time of grace
            self.kill_at = now + self.spec.grace_s
            self._say("stopping")
            self.child.signal(self.spec.stop_signal)
        elif now >= self.kill_at:
            self.kill_at = now + KILL_AGAIN_S
            self.child.signal(signal.SIGKILL)

    def _wait(self) -> None:
        """Wait for the death of the process, a signal, or the next thing due."""
        due = [time.monotonic() + LOG_CHECK_S]
        if self.kill_at is not None:
            due.append(self.kill_at)
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if self.child is None:
            due.append(self.start_at)
        else:
            poll.register(self.child.pidfd, select.POLLIN)
        poll.poll(max(0.0, min(due) - time.monotonic()) * 1000)
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake, 512)

    def _reap(self) -> None:
        self._reap_strangers()
        if self.child is None or not select.select([self.child.pidfd], [], [], 0)[0]:
            return
        lived_s = time.monotonic() - self.child.since
        patience_s = max(0.0, self.kill_at - time.monotonic()) if self.kill_at is not None else 0.0
        self.status.last_exit = self.child.bury(patience_s, orphans=self.spec.owns_orphans)
        self.status.child = None
        self.child = None
        if not self.asked_to_stop:
            self.status.restarts += 1
            self.streak = schedule.next_streak(self.streak, lived_s)
            self.start_at = time.monotonic() + schedule.delay_s(self.streak, self.spec.longest_delay_s)
            self._say("backoff")

    def _reap_strangers(self) -> None:
        """Collect orphans of our process that ended; our own process is left for its burial."""
        own = self.child.pid if self.child is not None else 0
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None or ended.si_pid == own:
                return
            os.waitpid(ended.si_pid, 0)

    def _say(self, state: str) -> None:
        self.status.state = state
        with contextlib.suppress(OSError):  # a full disk must not end the shim
            self.status.write(self.folder)
