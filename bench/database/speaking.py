"""Six sessions that speak SQL at fixed times, in a process of their own, so that nothing else waits or works in it.

python bench/database/speaking.py URL ROWS    # each line in: the schema versions of the six; at the end: what they felt
"""

import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence

import psycopg

from hitless.database.urls import version_url

KINDS = ("SELECT", "UPDATE", "INSERT") * 2
OLD, NEW = "0001_items", "0002_split_name"
EACH_S = 1 / 30  # between two statements of one session
INSERT = (
    "INSERT INTO items (a, email, status, note, payload, {}) VALUES (%(a)s, 'l@x', 'new', 'n', repeat('z', 60), {})"
)
STATEMENTS: Mapping[str, Mapping[str, str]] = {
    OLD: {
        "SELECT": "SELECT id, name, a FROM items WHERE id = %(id)s",
        "UPDATE": "UPDATE items SET a = a + 1 WHERE id = %(id)s",
        "INSERT": INSERT.format("name", "'Load Test'"),
    },
    NEW: {
        "SELECT": "SELECT id, first_name, last_name, a FROM items WHERE id = %(id)s",
        "UPDATE": "UPDATE items SET a = a + 1 WHERE id = %(id)s",
        "INSERT": INSERT.format("first_name, last_name", "'Load', 'Test'"),
    },
}


class Session(threading.Thread):
    """Does one kind of statement at its times, on the schema version that it is told; opens again what is closed."""

    def __init__(self, url: str, kind: str, rows: int) -> None:
        super().__init__(daemon=True)
        self.url, self.kind, self.rows = url, kind, rows
        self.version, self.over = OLD, False
        self.felt: list[tuple[float, float]] = []  # when it was due, milliseconds
        self.errors: Counter[str] = Counter()

    def run(self) -> None:
        due = time.monotonic() + random.random() * EACH_S
        while not self.over:
            try:
                due = self._on(self.version, due)
            except psycopg.Error as error:
                self.errors[f"{self.kind} on {self.version}: {error}".strip()] += 1
                due += EACH_S

    def _on(self, version: str, due: float) -> float:
        """Work on a version until told another; returns when the next statement is due."""
        with psycopg.connect(version_url(self.url, version), autocommit=True) as connection:
            while not self.over and self.version == version:
                time.sleep(max(0.0, due - time.monotonic()))
                values = {"id": random.randint(1, self.rows), "a": random.randint(1, 1000)}
                connection.execute(STATEMENTS[version][self.kind], values)
                self.felt.append((due, (time.monotonic() - due) * 1000))
                due += EACH_S
        return due


class Sessions:
    """The six, told from here what schema version each of them speaks."""

    def __init__(self, url: str, rows: int) -> None:
        argv = [sys.executable, __file__, url, str(rows)]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def speak(self, versions: Sequence[str]) -> None:
        """Let each speak a version from its next statement on."""
        self._process.stdin.write(json.dumps(versions) + "\n")
        self._process.stdin.flush()

    def stop(self) -> tuple[list[tuple[float, float]], Counter[str]]:
        """Return when each statement was due and how many milliseconds it took from there, and what failed."""
        out, _ = self._process.communicate(timeout=30)
        told = json.loads(out)
        return [(due, ms) for due, ms in told["felt"]], Counter(told["errors"])


def speak(url: str, rows: int) -> None:
    """Speak the versions that are told until the input is closed."""
    sessions = [Session(url, kind, rows) for kind in KINDS]
    for session in sessions:
        session.start()
    for line in sys.stdin:
        for session, version in zip(sessions, json.loads(line), strict=True):
            session.version = version
    for session in sessions:
        session.over = True
    for session in sessions:
        session.join()
    felt = [each for session in sessions for each in session.felt]
    print(json.dumps({"felt": felt, "errors": sum((session.errors for session in sessions), Counter())}))


if __name__ == "__main__":
    speak(sys.argv[1], int(sys.argv[2]))
