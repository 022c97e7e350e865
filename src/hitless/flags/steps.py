"""Steps on flags: bring one flag to a stage, and watch the users there. Pure."""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self

from hitless.kit.units import format_duration


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Bring a flag from one stage to another; in force when every connected client has acknowledged it."""

    room: ClassVar[str] = "flags"
    kind: ClassVar[str] = "stage"

    flag: str
    before: str  # definition as JSON; empty: the flag does not exist
    after: str
    stage_before: str = "as it was"
    stage: str = "off"
    acknowledged_within_s: float = 30.0  # official clients wait up to 12 s after a lost stream

    @property
    def splits(self) -> bool:
        """Whether the client itself splits the users, by its own hash."""
        return '"fractional"' in self.after

    def describe(self) -> str:
        """Say in one line what the step does."""
        return f"flag {self.flag}: {self.stage_before} -> {self.stage}"

    def inverse(self) -> Self:
        """Return the step that brings back the definition before, letter by letter."""
        return replace(self, before=self.after, after=self.before, stage_before=self.stage, stage=self.stage_before)

    @property
    def point_of_no_return(self) -> bool:
        """Nothing is lost: definitions are kept as text."""
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Bake:
    """Watch the users of the services for `bake_s` at one stage, and go back if more of them meet failures than before.

    Observed: at least one user since the step began. Without that it holds, and goes back after `no_evidence_s`.
    """

    room: ClassVar[str] = "flags"
    kind: ClassVar[str] = "bake-flag"

    flag: str
    stage: str
    services: tuple[str, ...]  # all that may ask for the flag
    bake_s: float = 10.0
    evidence: Literal["observed", "none"] = "observed"
    no_evidence_s: float = 600.0
    worse: float = 2.0  # times as many users who meet a failure
    alpha: float = 0.01  # probability to go back though nothing is worse

    def describe(self) -> str:
        """Say in one line what the step does."""
        long = format_duration(self.bake_s)
        return f"watch users at {self.stage} of flag {self.flag} against the time before for {long}"

    def inverse(self) -> None:
        """Nothing has changed."""

    @property
    def point_of_no_return(self) -> bool:
        """Nothing has changed."""
        return False
