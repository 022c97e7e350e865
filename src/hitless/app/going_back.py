"""What going back would lose, and how much of that somebody has agreed to."""

from hitless.app.databases import Databases
from hitless.app.journal import StoredJournal
from hitless.database.driver import lost_by_going_back
from hitless.database.steps import Expand
from hitless.database.unmappable import Unmappable
from hitless.engine.journal import Noted
from hitless.kit.errors import Refused
from hitless.plan.step import Step

ACCEPTED = "accept_loss"  # the remark that says how many rows may be given up
LISTED = 5


class AcceptedLoss:
    """Reads from the journal of a run how many rows may be given up."""

    def __init__(self, journal: StoredJournal) -> None:
        self._journal = journal

    async def __call__(self, run: str) -> int:
        """Return the number; 0 if nobody has said so."""
        remarks = [entry.fact.remark for entry in await self._journal.entries(run) if isinstance(entry.fact, Noted)]
        return max((int(remark[ACCEPTED]) for remark in remarks if ACCEPTED in remark), default=0)


async def lost(steps: tuple[Step, ...], databases: Databases) -> list[Unmappable]:
    """Return the rows that the old side cannot hold, over all databases that these steps have expanded."""
    expanded = [step for step in steps if isinstance(step, Expand)]
    return [row for step in expanded for row in await lost_by_going_back(databases.url(step.database), step.version)]


def refuse_loss(run: str, rows: list[Unmappable], accepted: int) -> None:
    """Raise Refused `loss-not-accepted` if going back would give up more rows than that."""
    if len(rows) > accepted:
        shown = ", ".join(f"{row.table} {'/'.join(row.key)} ({row.why})" for row in rows[:LISTED])
        raise Refused(
            "loss-not-accepted",
            f"the old side cannot hold {len(rows)} rows as the new version wrote them: {shown}",
            f"correct them, or give up what it cannot hold: hitless rollback {run} --accept-loss {len(rows)}",
        )
