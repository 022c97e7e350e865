"""Progress on a terminal: one line that says which step is under way, and for how long."""

import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

TURNING = "|/-\\"


def on_terminal() -> bool:
    """Whether a person looks at stderr and wants it to move: a terminal, and no NO_COLOR."""
    return sys.stderr.isatty() and "NO_COLOR" not in os.environ


class Live:
    """The line below the facts; facts are printed between `clear` and the next `turn`."""

    def __init__(self, steps: Sequence[Mapping[str, Any]], *, enabled: bool) -> None:
        self._steps, self._enabled = steps, enabled
        self._doing, self._since, self._turns, self._shown = "", time.monotonic(), 0, 0

    def saw(self, fact: Mapping[str, Any]) -> None:
        """Take note of what is under way."""
        position = fact["body"].get("position")
        if fact["fact"] not in ("started", "undoing") or not isinstance(position, int):
            return
        step = self._steps[position]
        what = step["describe"] if fact["fact"] == "started" else f"back: {step['inverse'] or 'nothing to undo'}"
        self._doing, self._since = f"{position + 1}/{len(self._steps)}  {what}", time.monotonic()

    def turn(self) -> None:
        """Show a sign of life."""
        if not self._enabled:
            return
        self._turns += 1
        text = f"{TURNING[self._turns % len(TURNING)]} {self._doing}  {time.monotonic() - self._since:.0f} s"
        text = text[: shutil.get_terminal_size().columns - 1]
        sys.stderr.write("\r" + text.ljust(self._shown))
        sys.stderr.flush()
        self._shown = len(text)

    def clear(self) -> None:
        """Make room for a line."""
        if self._shown:
            sys.stderr.write("\r" + " " * self._shown + "\r")
            self._shown = 0
