"""What sessions that read and write a table feel of a backfill beside them: the database alone, no gateway.

Six sessions, 180 statements/s (SELECT, UPDATE, INSERT in equal shares); latency counts from the moment each was due.
"""

import asyncio
import random
import threading
import time
from collections.abc import Awaitable, Callable

import psycopg

SESSIONS = ("SELECT", "UPDATE", "INSERT") * 2
EACH_S = 1 / 30  # between two statements of one session
QUIET_S = 6.0
STATEMENTS = {
    "SELECT": "SELECT id, a FROM items WHERE id = %s",
    "UPDATE": "UPDATE items SET a = 1 WHERE id = %s",
    "INSERT": "INSERT INTO items (id, a, name) VALUES (%s + 1000000000 * (1 + random() * 1000000)::bigint, 1, 'a b')",
}


class Session(threading.Thread):
    """Does one kind of statement at its times; knows when each was due and how long it took from there."""

    def __init__(self, url: str, kind: str, rows: int) -> None:
        super().__init__(daemon=True)
        self.url, self.kind, self.rows, self.over = url, kind, rows, False
        self.felt: list[tuple[float, float]] = []  # when it was due, milliseconds

    def run(self) -> None:
        with psycopg.connect(self.url, autocommit=True, application_name="hitless/0001_bench") as connection:
            due = time.monotonic() + random.random() * EACH_S
            while not self.over:
                time.sleep(max(0.0, due - time.monotonic()))
                connection.execute(STATEMENTS[self.kind], (random.randint(1, self.rows),))
                self.felt.append((due, (time.monotonic() - due) * 1000))
                due += EACH_S


async def beside(url: str, rows: int, work: Callable[[], Awaitable[None]]) -> None:
    """Do something while the table is used; prints what was felt before and meanwhile."""
    sessions = [Session(url, kind, rows) for kind in SESSIONS]
    for session in sessions:
        session.start()
    await asyncio.sleep(QUIET_S)
    began = time.monotonic()
    await work()
    over = time.monotonic()
    for session in sessions:
        session.over = True
        session.join()
    for kind in STATEMENTS:
        felt = [each for session in sessions if session.kind == kind for each in session.felt]
        before = told([ms for due, ms in felt if due < began])
        meanwhile = told([ms for due, ms in felt if began <= due < over])
        print(f"{kind} beside a backfill: {meanwhile}; before: {before}")


def told(latencies: list[float]) -> str:
    ordered = sorted(latencies)
    return f"p99 {ordered[int(len(ordered) * 0.99)]:.1f} ms, longest {ordered[-1]:.1f} ms"
