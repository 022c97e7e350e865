"""Which process a number means: a pid alone is given again, a pid with its start time and boot is not."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class Identity:
    """One process, for ever: boot, pid and start time in clock ticks since boot (proc(5), stat field 22)."""

    boot_id: str
    pid: int
    start_ticks: int

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """Return the identity of a living process, None if there is none (a zombie is not alive)."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return None
        state, *fields = stat[stat.rindex(")") + 2 :].split()
        return None if state in "ZX" else cls(_boot_id(), pid, int(fields[18]))

    @classmethod
    def me(cls) -> Self:
        """Return the identity of the calling process."""
        identity = cls.of(os.getpid())
        if identity is None:
            raise ProcessLookupError(os.getpid())
        return identity

    def alive(self) -> bool:
        """Tell whether exactly this process still lives."""
        return Identity.of(self.pid) == self

    def signal(self, number: int) -> bool:
        """Send a signal to exactly this process, never to a later one of the same pid; False if it is gone."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        try:
            if not self.alive():  # checked with the pidfd open: from here on the pid cannot mean another process
                return False
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(descriptor)
        return True


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
