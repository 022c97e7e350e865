"""What one part of a change asks for: steps by phase, and what speaks for and against them. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from hitless.plan.plan import Refusal
from hitless.plan.step import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """The phases are carried out in this order over all parts, and taken back in the opposite one."""

    prepare: tuple[Step, ...] = ()  # expand, backfill, verify: before the code that needs it
    ship: tuple[Step, ...] = ()  # until everybody meets the new code
    widen: tuple[Step, ...] = ()  # flags, when the code that they need is everywhere
    retire: tuple[Step, ...] = ()  # end the old code: until then going back takes no start
    conclude: tuple[Step, ...] = ()  # verify again and contract, when nobody uses the old side any more
    needs_approval: bool = False  # what `conclude` does cannot be undone
    refusals: tuple[Refusal, ...] = ()
    remarks: tuple[str, ...] = ()
    claims: frozenset[str] = frozenset()  # what no other run may touch meanwhile

    @property
    def reversible(self) -> tuple[Step, ...]:
        """Return the steps before the point of no return."""
        return (*self.prepare, *self.ship, *self.widen, *self.retire)


def joined(parts: Iterable[Proposal]) -> Proposal:
    """Put the parts of a change together, phase by phase."""
    parts = list(parts)
    return Proposal(
        prepare=tuple(step for part in parts for step in part.prepare),
        ship=tuple(step for part in parts for step in part.ship),
        widen=tuple(step for part in parts for step in part.widen),
        retire=tuple(step for part in parts for step in part.retire),
        conclude=tuple(step for part in parts for step in part.conclude),
        needs_approval=any(part.needs_approval for part in parts),
        refusals=tuple(refusal for part in parts for refusal in part.refusals),
        remarks=tuple(remark for part in parts for remark in part.remarks),
        claims=frozenset(claim for part in parts for claim in part.claims),
    )
