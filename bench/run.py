"""All benchmarks, one after the other: `make bench`, or some of them: python bench/run.py changes gateway.

Each prints its own table with what was wanted beside it. What a benchmark needs and this machine lacks is said, and
the others go on. Exit 1 if one fell short.
"""

import asyncio
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hitless.runtime.postgres import EmbeddedPostgres
from hitless.runtime.supervisor import Shims

HERE = Path(__file__).parent
SCRIPTS = {
    "changes": "changes/run.py",
    "soak": "changes/soak.py",
    "gateway": "gateway/run.py",
    "guards": "guards/bench_live.py",
    "ingest": "ingest/bench_ingest.py",
    "database": "database/run.py",
    "database-whole": "database/whole.py",
    "database-sessions": "database/sessions.py",
    "database-kills": "database/kills.py",
    "database-planning": "database/planning.py",
    "flags": "flags/run.py",
    "verdict": "verdict/run.py",
}
NEEDS = {"gateway": "wrk"}
ON_A_SERVER = ("database", "database-planning")  # of their own, given as a URL
ONE_S = 1800.0


def main() -> int:
    names = sys.argv[1:] or [name for name, script in SCRIPTS.items() if (HERE / script).exists()]
    if unknown := [name for name in names if name not in SCRIPTS]:
        print(f"there is no benchmark {unknown[0]!r}; there are: {', '.join(SCRIPTS)}", file=sys.stderr)
        return 2
    ended = {name: one(name) for name in names}
    print("\n" + "\n".join(f"{name:<15} {how}" for name, how in ended.items()))
    return 1 if any(how.startswith("FELL SHORT") for how in ended.values()) else 0


def one(name: str) -> str:
    """Run one benchmark; returns how it ended."""
    print(f"\n=== {name}", flush=True)
    needed = NEEDS.get(name)
    if needed and shutil.which(needed) is None:
        return f"left out: {needed} is not installed"
    began = time.monotonic()
    argv = [sys.executable, str(HERE / SCRIPTS[name])]
    if name in ON_A_SERVER:
        with scratch_database() as url:
            code = subprocess.run([*argv, url], timeout=ONE_S, check=False).returncode
    else:
        code = subprocess.run(argv, timeout=ONE_S, check=False).returncode
    return f"{'reached' if code == 0 else f'FELL SHORT (exit {code})'} after {time.monotonic() - began:.0f} s"


@contextmanager
def scratch_database() -> Iterator[str]:
    """A PostgreSQL of its own, gone afterwards."""
    state = Path(tempfile.mkdtemp(prefix="hitless-bench-"))
    shims, postgres = Shims(state), EmbeddedPostgres(state)
    (state / "run").mkdir()
    try:
        asyncio.run(_start(shims, postgres))
        yield postgres.url("postgres")
    finally:
        asyncio.run(shims.stop("postgres"))
        shutil.rmtree(state, ignore_errors=True)


async def _start(shims: Shims, postgres: EmbeddedPostgres) -> None:
    from hitless.kit.errors import HitlessError
    from hitless.store.postgres import create_database

    await postgres.make()
    await shims.start("postgres", postgres.spec())
    for _ in range(600):
        try:
            await create_database(postgres.url("postgres"), "scratch")
        except HitlessError:
            await asyncio.sleep(0.1)
        else:
            return
    raise TimeoutError("PostgreSQL did not start")


if __name__ == "__main__":
    sys.exit(main())
