"""Rows that one side cannot hold: listed by key, and counted before anybody goes back, or gives the old side up."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from hitless.database.compiled import Compiled
from hitless.database.mirror import key_text
from hitless.database.names import MARK, literal, quoted
from hitless.database.postgres import Target
from hitless.database.ranges import row
from hitless.database.sync import Sync, groups
from hitless.kit.errors import Refused

PAGE = 500  # listed rows that are looked up at once
SHOWN = 5  # keys in a message
CANNOT = {"new": ("old", "new"), "old": ("new", "old")}  # who wrote it: which side cannot hold it, which version wrote


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmappable:
    """A row that the other side cannot hold as it was written."""

    table: str
    key: tuple[str, ...]  # as texts
    side: str  # old or new: who wrote it; a row of which both wrote a part is there twice
    why: str  # what the server said


async def unmappable(target: Target, compiled: Compiled) -> list[Unmappable]:
    """Return the rows of a change that are listed and still so."""
    found: list[Unmappable] = []
    for sync in compiled.syncs:
        listed = await _listed(target, compiled.version, sync.table)
        for start in range(0, len(listed), PAGE):
            found += await _still(target, sync, listed[start : start + PAGE])
    for shadow in compiled.shadows:
        found += await _listed(target, compiled.version, shadow.old)
    return found


async def _listed(target: Target, version: str, table: str) -> list[Unmappable]:
    rows = await target.rows(
        "SELECT key, side, why FROM hitless.unmappable WHERE space = current_schema() "  # noqa: S608
        f"AND version = {literal(version)} AND base = {literal(table)} ORDER BY at, key"
    )
    return [Unmappable(table=table, key=tuple(each["key"]), side=each["side"], why=each["why"]) for each in rows]


async def _still(target: Target, sync: Sync, listed: list[Unmappable]) -> list[Unmappable]:
    """Ask the rows themselves, by their keys: one that was deleted, or fits again, is no longer lost."""
    if not sync.key:
        return listed
    names = ", ".join(quoted(each) for each in sync.key)
    keys = ", ".join(row(list(each.key)) for each in listed)
    marks = await target.rows(
        f"SELECT {key_text(sync.key, '_hl')} AS key, {quoted(MARK)} AS mark FROM {quoted(sync.table)} AS _hl "  # noqa: S608
        f"WHERE ({names}) IN ({keys})"
    )
    sides = {tuple(each["key"]): tuple(_sides(sync, each["mark"] or 0)) for each in marks}
    return [replace(each, side=side) for each in listed for side in sides.get(each.key, ())]


def _sides(sync: Sync, mark: int) -> Iterator[str]:
    bits = {mark >> (2 * number) & 3 for number in range(len(groups(sync)))}
    if 3 in bits:
        yield "new"
    if 2 in bits:
        yield "old"


async def refuse_loss(target: Target, compiled: Compiled, *, side: str, accepted: int) -> None:
    """Raise Refused `loss-not-accepted` while more rows are listed that `side` wrote and the other cannot hold."""
    (number,) = await target.rows(
        "SELECT count(*) AS listed FROM hitless.unmappable WHERE space = current_schema() AND version = %s",
        compiled.version,
    )
    if number["listed"] > accepted:  # else there is no need to look, and others may be waiting
        verb = "rollback" if side == "new" else "contract"
        lost = [each for each in await unmappable(target, compiled) if each.side == side]
        if len(lost) > accepted:
            raise loss_not_accepted(lost, f"hitless {verb} RUN --accept-loss {len(lost)}")


def loss_not_accepted(lost: list[Unmappable], how: str) -> Refused:
    """Return the refusal for rows of one side; `how`: the command that gives them up."""
    shown = ", ".join(f"{each.table} {'/'.join(each.key)} ({each.why})" for each in lost[:SHOWN])
    other, version = CANNOT[lost[0].side]
    return Refused(
        "loss-not-accepted",
        f"the {other} side cannot hold {len(lost)} rows as the {version} version wrote them: {shown}",
        f"correct them, or give up what it cannot hold: {how}",
    )
