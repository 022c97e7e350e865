"""The flags of a change: one step per stage, the next when the clients have acknowledged. Pure."""

from dataclasses import dataclass

from hitless.app.proposal import Proposal
from hitless.plan.change import Change
from hitless.plan.system import System


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagsPart:
    """Plans the flags of one change."""

    system: System
    change: Change

    def propose(self) -> Proposal:
        """Return the steps, with every reason against them that can be seen now."""
        return Proposal(claims=frozenset(f"flag {key}" for key in self.change.flags))
