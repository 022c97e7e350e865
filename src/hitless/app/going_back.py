"""What giving up one side of a database would lose, and how much of that somebody has agreed to."""

from hitless.app.databases import Databases
from hitless.app.journal import StoredJournal
from hitless.database import driver
from hitless.database.steps import Expand
from hitless.database.unmappable import Unmappable, loss_not_accepted
from hitless.engine.journal import Noted
from hitless.plan.step import Step

ACCEPTED = {"new": "accept_loss", "old": "accept_loss_by_contract"}  # who wrote the rows: the remark that says how many


class AcceptedLoss:
    """Reads from the journal of a run how many rows may be given up."""

    def __init__(self, journal: StoredJournal) -> None:
        self._journal = journal

    async def __call__(self, run: str, side: str) -> int:
        """Return what was said last of the rows that a side (old, new) wrote; 0 if nobody has said so."""
        remarks = [entry.fact.remark for entry in await self._journal.entries(run) if isinstance(entry.fact, Noted)]
        return next((int(each[ACCEPTED[side]]) for each in reversed(remarks) if ACCEPTED[side] in each), 0)


class Asker:
    """Reads from the journal of a run who asked last for something."""

    def __init__(self, journal: StoredJournal) -> None:
        self._journal = journal

    async def __call__(self, run: str) -> str:
        """Return the name that came with it; empty if nobody has asked."""
        remarks = [entry.fact.remark for entry in await self._journal.entries(run) if isinstance(entry.fact, Noted)]
        return next((str(each["who"]) for each in reversed(remarks) if "asked" in each and "who" in each), "")


async def lost(steps: tuple[Step, ...], databases: Databases, side: str) -> list[Unmappable]:
    """Return the rows that a side (old, new) wrote and the other cannot hold, over all databases that were expanded."""
    expanded = [step for step in steps if isinstance(step, Expand)]
    return [row for step in expanded for row in await driver.lost(databases.url(step.database), step.version, side)]


def refuse_loss(run: str, rows: list[Unmappable], accepted: int) -> None:
    """Raise Refused `loss-not-accepted` if more rows than that would be given up; all of them of one side."""
    if len(rows) > accepted:
        verb = "rollback" if rows[0].side == "new" else "contract"
        raise loss_not_accepted(rows, f"hitless {verb} {run} --accept-loss {len(rows)}")
