"""Rows/s of backfill (in place and into a shadow table) and of verification beside the machine's own limits, in one run.

python bench/database/run.py postgresql://...  [rows]      # a scratch database: the table `items` is dropped

Limits: one UPDATE of all rows, one INSERT .. SELECT, COPY out and in. Also printed: how long expand and contract held
ACCESS EXCLUSIVE on the table, as a second session saw it that asks for one row every millisecond.
"""

import asyncio
import json
import sys
import threading
import time
from pathlib import Path

import psycopg

sys.path.insert(0, str(Path(__file__).parents[2]))  # run by its path: the benchmarks' own folder

from bench.database.beside import QUIET_S, beside

from hitless.database.driver import DatabaseDriver
from hitless.database.migration import Migration
from hitless.database.steps import schema_steps
from hitless.plan.ports import Moment

IN_PLACE = "operations: [{alter_column: {table: items, column: a, type: bigint, up: 'a::bigint', down: 'a::integer'}}]"
SHADOW = """
operations:
  - shadow_table:
      table: items
      columns:
        - {name: id, type: bigint, pk: true}
        - {name: a, type: bigint}
        - {name: first, type: text}
        - {name: last, type: text}
        - {name: email, type: text, nullable: true}
        - {name: status, type: text, nullable: true}
        - {name: note, type: text, nullable: true}
        - {name: payload, type: text, nullable: true}
        - {name: touched, type: timestamptz, nullable: true}
      up: {first: "split_part(name, ' ', 1)", last: "split_part(name, ' ', 2)"}
      down: {a: a::int, name: "first || ' ' || last"}
"""
TABLE = (
    "CREATE TABLE {} (id bigint PRIMARY KEY, a int NOT NULL, name text NOT NULL, email text, status text, "
    "note text, payload text, touched timestamptz DEFAULT now())"
)


def prepare(url: str, rows: int, *, limits: bool) -> dict[str, float]:
    """Make the table of 171 bytes a row; returns the seconds of each way to write all rows at once."""
    took: dict[str, float] = {}
    with psycopg.connect(url, autocommit=True) as connection:

        def timed(name: str, *statements: str) -> None:
            began = time.monotonic()
            for statement in statements:
                connection.execute(statement)
            took[name] = time.monotonic() - began

        for schema in ("hitless_0001_bench", "hitless"):
            connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
        connection.execute("DROP TABLE IF EXISTS items, items_copy, _hitless_items CASCADE")
        connection.execute(TABLE.format("items"))
        connection.execute(
            "INSERT INTO items SELECT g, g %% 100000, 'First' || g || ' Last' || g, 'user' || g || '@example.com', 'new', "
            "CASE g %% 2 WHEN 0 THEN 'n' || g END, repeat(md5(g::text), 2) FROM generate_series(1, %s) g",
            (rows,),
        )
        connection.execute("VACUUM ANALYZE items")
        if limits:
            timed("limit: one UPDATE", "UPDATE items SET a = a")
            connection.execute("VACUUM FULL ANALYZE items")
            connection.execute(TABLE.format("items_copy"))
            timed("limit: INSERT..SELECT", "INSERT INTO items_copy SELECT * FROM items")
            connection.execute("TRUNCATE items_copy")
            with psycopg.connect(url, autocommit=True) as other:
                began = time.monotonic()
                with (
                    connection.cursor().copy("COPY items TO STDOUT (FORMAT binary)") as out,
                    other.cursor().copy("COPY items_copy FROM STDIN (FORMAT binary)") as into,
                ):
                    for data in out:
                        into.write(data)
                took["limit: COPY"] = time.monotonic() - began
            connection.execute("DROP TABLE items_copy")
        connection.execute("CHECKPOINT")
    return took


class Watcher(threading.Thread):
    """Asks for one row again and again; remembers the longest wait."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url, self.worst_s, self.over = url, 0.0, False

    def run(self) -> None:
        with psycopg.connect(self.url, autocommit=True, application_name="hitless/0001_bench") as connection:
            while not self.over:
                began = time.monotonic()
                connection.execute("SELECT 1 FROM items LIMIT 1")
                self.worst_s = max(self.worst_s, time.monotonic() - began)
                time.sleep(0.001)


async def one(url: str, rows: int, name: str, text: str) -> None:
    async def note(remark: dict[str, object]) -> None:
        print(json.dumps(remark), file=sys.stderr)

    took = prepare(url, rows, limits=name == "in place")
    moment = Moment(run="bench", position=0, started_at=0.0, note=note)
    driver = DatabaseDriver(lambda _: url)
    steps = schema_steps("main", (Migration(name="0001_bench", text=text),))
    waits = {}
    for step in (*steps.before, *steps.after):
        began = time.monotonic()
        watcher = Watcher(url)
        if step.kind in ("expand", "contract"):
            watcher.start()
        await driver.do(step, moment)
        watcher.over = True
        if watcher.is_alive():
            watcher.join()
            waits[step.kind] = watcher.worst_s
        took[f"{step.kind}{' again' if getattr(step, 'again', False) else ''} {name}"] = time.monotonic() - began
    for what, seconds in took.items():
        print(f"{what:24} {seconds:8.3f} s {rows / seconds:12,.0f} rows/s")
    for what, seconds in waits.items():
        print(f"{what + ' ' + name + ', longest wait of a reader':52} {seconds * 1000:6.1f} ms")


async def used(url: str, rows: int) -> None:
    """A backfill in place of a table that is used."""
    prepare(url, rows, limits=False)
    driver, steps = DatabaseDriver(lambda _: url), schema_steps("main", (Migration(name="0001_bench", text=IN_PLACE),))

    async def note(_: dict[str, object]) -> None:
        """Progress."""

    moment = Moment(run="bench", position=0, started_at=0.0, note=note)
    await driver.do(steps.before[0], moment)
    began = time.monotonic()
    await beside(url, rows, lambda: driver.do(steps.before[1], moment))
    took = time.monotonic() - began - QUIET_S
    print(f"{'backfill beside 180/s':24} {took:8.3f} s {rows / took:12,.0f} rows/s")


async def main(url: str, rows: int) -> None:
    await one(url, rows, "in place", IN_PLACE)
    await one(url, rows, "shadow", SHADOW)
    await used(url, rows)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000))
