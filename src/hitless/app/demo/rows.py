"""Rows of the demo's shop, made and compared from outside: by SQL on what the two schema versions show."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from hitless.database.postgres import Target
from hitless.runtime.postgres import EmbeddedPostgres

SEEDED = 200_000
DATABASE = "main"
BEFORE, NOW = '"hitless_0001_shop"', '"hitless_0002_split_name"'

_SEED = f"""
    INSERT INTO {BEFORE}.accounts (user_id, name, balance_cents)
    SELECT 'seed-' || i, 'First' || i || ' Last ' || i, i FROM generate_series(1, {SEEDED}) AS i
"""  # noqa: S608  names of ours, no input
_COMPARE = f"""
    SELECT count(*) AS rows,
           count(*) FILTER (WHERE o.name IS DISTINCT FROM trim(n.first_name || ' ' || n.last_name)
                               OR o.balance_cents IS DISTINCT FROM n.balance_cents) AS differ,
           count(*) FILTER (WHERE o.user_id ~ '^seed-'
                              AND o.name <> replace('First# Last #', '#', substr(o.user_id, 6))) AS wrong
    FROM {BEFORE}.accounts o FULL JOIN {NOW}.accounts n USING (user_id)
"""  # noqa: S608  names of ours, no input


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What both schema versions show of the same table."""

    rows: int
    differing: int  # between the two versions, or from what was written at the beginning


def seed(state: Path) -> int:
    """Give the shop accounts that nobody has visited yet; returns how many rows there are."""

    async def work() -> None:
        async with Target.open(EmbeddedPostgres(state).url(DATABASE)) as target:
            await target.run(_SEED)

    asyncio.run(work())
    return SEEDED


def compare(state: Path) -> Compared:
    """Compare every row of the accounts on both schema versions."""

    async def work() -> Compared:
        async with Target.open(EmbeddedPostgres(state).url(DATABASE)) as target:
            (found,) = await target.rows(_COMPARE)
        return Compared(rows=int(found["rows"]), differing=int(found["differ"]) + int(found["wrong"]))

    return asyncio.run(work())
