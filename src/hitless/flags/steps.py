"""Steps on flags: bring one flag to a stage. Pure."""

from dataclasses import dataclass, replace
from typing import ClassVar, Self


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
