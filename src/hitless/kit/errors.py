"""The one form in which hitless says that something did not work."""

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of every command; a promise to scripts."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    NOT_ALLOWED = 4
    ROLLED_BACK = 5
    ROLLBACK_INCOMPLETE = 6
    WATCH_TIMED_OUT = 7
    DETACHED = 130


class HitlessError(Exception):
    """A failure with a stable code, one sentence with the values, and one way forward."""

    exit = Exit.FAILED

    def __init__(self, code: str, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.code}: {self.text}" + (f"\n  hint: {self.hint}" if self.hint else "")


class InvalidInput(HitlessError):
    """A file or an argument is wrong; nothing was touched."""

    exit = Exit.USAGE


class Refused(HitlessError):
    """It would not be safe, or not now; nothing was touched."""

    exit = Exit.REFUSED


class NotAllowed(HitlessError):
    """Who asks may not do this."""

    exit = Exit.NOT_ALLOWED


class Abandon(HitlessError):
    """This controller must stop at once and touch nothing more; the next one carries on from the journal."""
