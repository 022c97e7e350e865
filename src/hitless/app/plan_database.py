"""The databases of a change: which schema steps it needs around the shipping of code. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from hitless.app.proposal import Proposal
from hitless.plan.change import Change
from hitless.plan.plan import Refusal
from hitless.plan.system import System, near


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabasePart:
    """Plans the databases of one change."""

    system: System
    change: Change

    def propose(self) -> Proposal:
        """Return the steps, with every reason against them that can be seen now."""
        return Proposal(
            refusals=tuple(self._unknown()), claims=frozenset(f"database {name}" for name in self.change.database)
        )

    def _unknown(self) -> Iterator[Refusal]:
        for name in self.change.database:
            if name not in self.system.databases:
                text = f"{name!r} is no database of {self.system.system}"
                yield Refusal(code="unknown-database", text=text, hint=near(name, self.system.databases))
