"""Rows/s of backfill and verification beside the machine's own limit (one UPDATE of all rows), in the same run.

python bench/database/run.py postgresql://...  [rows]      # a scratch database: the table `items` is dropped
"""

import asyncio
import json
import sys
import time

import psycopg

from hitless.database.driver import DatabaseDriver
from hitless.database.migration import Migration
from hitless.database.steps import schema_steps
from hitless.plan.ports import Moment

TEXT = "operations: [{alter_column: {table: items, column: a, type: bigint, up: 'a::bigint', down: 'a::integer'}}]"


def prepare(url: str, rows: int) -> float:
    """Make the table of 171 bytes a row; returns the seconds of one UPDATE of all rows."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS hitless_0001_bench CASCADE")
        connection.execute("DROP SCHEMA IF EXISTS hitless CASCADE")
        connection.execute("DROP TABLE IF EXISTS items CASCADE")
        connection.execute(
            "CREATE TABLE items (id bigint PRIMARY KEY, a int NOT NULL, name text NOT NULL, email text, status text, "
            "note text, payload text, touched timestamptz DEFAULT now())"
        )
        connection.execute(
            "INSERT INTO items SELECT g, g %% 100000, 'First' || g || ' Last' || g, 'user' || g || '@example.com', 'new', "
            "CASE g %% 2 WHEN 0 THEN 'n' || g END, repeat(md5(g::text), 2) FROM generate_series(1, %s) g",
            (rows,),
        )
        connection.execute("VACUUM ANALYZE items")
        began = time.monotonic()
        connection.execute("UPDATE items SET a = a")
        took = time.monotonic() - began
        connection.execute("VACUUM FULL ANALYZE items")
    return took


async def main(url: str, rows: int) -> None:
    async def note(remark: dict[str, object]) -> None:
        print(json.dumps(remark), file=sys.stderr)

    limit_s = prepare(url, rows)
    moment = Moment(run="bench", position=0, started_at=0.0, note=note)
    driver = DatabaseDriver(lambda _: url)
    steps = schema_steps("main", (Migration(name="0001_bench", text=TEXT),))
    took = {"limit: one UPDATE": limit_s}
    for step in (*steps.before, *steps.after):
        began = time.monotonic()
        await driver.do(step, moment)
        took[f"{step.kind}{' again' if getattr(step, 'again', False) else ''}"] = time.monotonic() - began
    for name, seconds in took.items():
        print(f"{name:20} {seconds:8.3f} s {rows / seconds:12,.0f} rows/s")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000))
