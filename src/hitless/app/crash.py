"""Named places to be killed at: `HITLESS_CRASH_AT=POSITION:before|intent|effect|done` (`undo-effect` on the way back).

The wish lies in a file and is taken away before the kill, so that it happens once.
"""

import os
import re
import signal
from pathlib import Path

from hitless.engine.ports import Phase
from hitless.kit.errors import InvalidInput
from hitless.kit.files import write_atomic

VARIABLE = "HITLESS_CRASH_AT"
_WISH = re.compile(r"\d{1,4}:(undo-)?(before|intent|effect|done)")


class FileCrashPoints:
    """Kills this process where the file says so."""

    def __init__(self, state: Path) -> None:
        self._file = state / "run" / "crash-at"

    def arm(self, wish: str) -> None:
        """Ask for a kill at one place. Raises InvalidInput for a place that does not exist."""
        if _WISH.fullmatch(wish) is None:
            raise InvalidInput("invalid-crash-point", f"{VARIABLE}={wish!r}", "like: 3:effect, or 3:undo-effect")
        write_atomic(self._file, wish)

    def reach(self, position: int, phase: Phase, *, backward: bool) -> None:
        """Die here if somebody asked for it."""
        try:
            wish = self._file.read_text()
        except FileNotFoundError:
            return
        if wish == f"{position}:{'undo-' if backward else ''}{phase}":
            self._file.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
