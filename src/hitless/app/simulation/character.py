"""How a version behaves in the simulated world: how soon it serves, what it fails, when it dies. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

FIRST_BACKOFF_S = 0.2  # of a shim that restarts what ended by itself; doubles up to the longest
LONGEST_BACKOFF_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Character:
    """One version of one service."""

    ready_after_s: float = 0.2  # from the start of a process to its first answer
    lives_s: float | None = None  # each process ends by itself after so long; None: it does not
    fails: float = 0.0  # of its requests, 0..1
    check_code: int = 0  # what a check command of it ends with

    @property
    def never_ready(self) -> bool:
        """Whether it ends before it is ready, each time, or never gets there."""
        return self.ready_after_s >= (self.lives_s or 1e9)


SOUND = Character()


@dataclass(frozen=True, slots=True)
class Characters:
    """All versions of all services; those that nobody describes are sound."""

    known: Mapping[tuple[str, str], Character] = field(default_factory=dict)

    def of(self, service: str, version: str) -> Character:
        """Return the character of a version."""
        return self.known.get((service, version), SOUND)


def backoff_s(restarts: int) -> float:
    """Return how long a shim waits before it starts a process for the `restarts`-th time again."""
    return float(min(FIRST_BACKOFF_S * 2 ** max(0, restarts - 1), LONGEST_BACKOFF_S))
