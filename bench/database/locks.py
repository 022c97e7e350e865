"""How long ACCESS EXCLUSIVE is held on a table, seen from a session of its own in a process of its own.

python bench/database/locks.py URL TABLE    # until its input is closed; prints milliseconds, one line for each time
"""

import select
import subprocess
import sys
import time

import psycopg

EVERY_S = 0.003
HELD = "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE relation = %s AND mode = 'AccessExclusiveLock' AND granted)"


class Exclusive:
    """Watches one table; a lock shorter than 3 ms may be missed, and each is rounded up to the next look."""

    def __init__(self, url: str, table: str) -> None:
        argv = [sys.executable, __file__, url, table]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def stop(self) -> list[float]:
        """Return how many milliseconds each lock was held."""
        out, _ = self._process.communicate(timeout=10)
        return [float(line) for line in out.split()]


def watch(url: str, table: str) -> None:
    with psycopg.connect(url, autocommit=True, application_name="hitless") as connection:
        relation = connection.execute("SELECT %s::regclass::oid", (table,)).fetchone()[0]
        free_at, since = time.monotonic(), None
        while not select.select([sys.stdin], [], [], EVERY_S)[0]:
            held = connection.execute(HELD, (relation,), prepare=True).fetchone()[0]
            now = time.monotonic()
            if held and since is None:
                since = free_at
            if not held:
                if since is not None:
                    print((now - since) * 1000, flush=True)
                free_at, since = now, None


if __name__ == "__main__":
    watch(*sys.argv[1:])
