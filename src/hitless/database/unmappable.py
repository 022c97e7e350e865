"""Rows that one side cannot hold: listed by key, and counted before anybody goes back."""

from dataclasses import dataclass

from hitless.database.compiled import Compiled
from hitless.database.mirror import key_text
from hitless.database.names import MARK, literal, quoted
from hitless.database.postgres import Target
from hitless.database.sync import groups


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmappable:
    """A row that the other side cannot hold as it was written."""

    table: str
    key: tuple[str, ...]  # as texts
    side: str  # old or new: who wrote it
    why: str  # what the server said


async def unmappable(target: Target, compiled: Compiled) -> list[Unmappable]:
    """Return the rows of a change that are listed and still so."""
    found: list[Unmappable] = []
    for sync in compiled.syncs:
        lost = sum(2 << (2 * number) for number in range(len(groups(sync))))
        there = (
            f"EXISTS (SELECT 1 FROM {quoted(sync.table)} AS _hl WHERE {key_text(sync.key, '_hl')} = u.key "  # noqa: S608
            f"AND _hl.{quoted(MARK)} & {lost} <> 0)"
        )
        found += await _listed(target, compiled.version, sync.table, there if sync.key else "true")
    for shadow in compiled.shadows:
        found += await _listed(target, compiled.version, shadow.old, "true")
    return found


async def _listed(target: Target, version: str, table: str, condition: str) -> list[Unmappable]:
    rows = await target.rows(
        "SELECT key, side, why FROM hitless.unmappable AS u WHERE space = current_schema() "  # noqa: S608
        f"AND version = {literal(version)} AND base = {literal(table)} AND {condition} ORDER BY at, key"
    )
    return [Unmappable(table=table, key=tuple(row["key"]), side=row["side"], why=row["why"]) for row in rows]
