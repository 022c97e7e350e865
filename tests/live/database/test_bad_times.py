"""A database that takes no writes, or has no room left, before a change or in the middle: said clearly, nothing half done."""

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from hitless.kit.errors import Exit, HitlessError
from hitless.plan.ports import Moment, StepFailed

pytestmark = pytest.mark.live
Make = Callable[[str, str], Any]

PEOPLE = """
CREATE TABLE people (id int PRIMARY KEY, name text NOT NULL);
INSERT INTO people SELECT g, 'name ' || g || repeat('.', 100) FROM generate_series(1, 20000) g;
"""
LOUD = "operations:\n  - add_column: {table: people, up: upper(name), column: {name: loud, type: text}}\n"
ROOM_MB = 40


async def note(_: dict[str, object]) -> None:
    """Progress."""


MOMENT = Moment(run="r1", position=0, started_at=0.0, note=note)


def takes_writes(change: Any, *, yes: bool) -> None:
    """As a failover does it: who connects from now on meets a server that only reads, or one that writes again."""
    with psycopg.connect(f"{change.url}&options=-cdefault_transaction_read_only%3Doff", autocommit=True) as connection:
        name = connection.info.dbname
        how = "RESET default_transaction_read_only" if yes else "SET default_transaction_read_only = on"
        connection.execute(f"ALTER DATABASE {name} {how}".encode())


async def test_a_database_that_takes_no_writes_is_left_as_it_is(changing: Make) -> None:
    change = changing(PEOPLE, LOUD)
    await change.begin()
    before = change.catalogue()
    takes_writes(change, yes=False)
    with pytest.raises(HitlessError, match="takes no writes") as caught:
        await change.up_to_code()
    assert (caught.value.code, caught.value.exit, bool(caught.value.hint)) == ("database-read-only", Exit.FAILED, True)
    assert change.catalogue() == before


async def test_one_that_stops_taking_writes_in_the_middle_can_go_on_or_back_afterwards(changing: Make) -> None:
    change = changing(PEOPLE, LOUD)
    await change.begin()
    before = change.catalogue()
    expand, *rest = change.steps.before
    for on in (False, True):
        await change.driver.do(expand, MOMENT)
        takes_writes(change, yes=False)
        for step in (rest[0], expand.inverse()):
            with pytest.raises(HitlessError) as caught:
                await change.driver.do(step, MOMENT)
            assert caught.value.code == "database-read-only"
        takes_writes(change, yes=True)
        if not on:
            await change.back()
            assert change.catalogue() == before
    for step in rest:
        await change.driver.do(step, MOMENT)
    await change.contract()
    assert change.rows(change.new_url, "SELECT count(*) FROM people WHERE loud = upper(name)") == [(20000,)]


class Disk:
    """A small disk that a database lies on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._rest = folder / "somebody-else"

    def fill(self, *, but_mb: float) -> None:
        """Leave that much room and no more."""
        free = os.statvfs(self.folder)
        wanted = int(free.f_bavail * free.f_frsize - but_mb * (1 << 20))
        with self._rest.open("wb") as rest:
            os.posix_fallocate(rest.fileno(), 0, max(wanted, 1))

    def clear(self) -> None:
        self._rest.unlink()


@pytest.fixture
def disk(server: Any) -> Iterator[Disk]:
    folder = Path(tempfile.mkdtemp(prefix="hitless-disk-"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={ROOM_MB}m", "tmpfs", str(folder)], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        folder.rmdir()
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.decode().strip()}")
    (folder / "data").mkdir(mode=0o700)
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
        folder.rmdir()


@pytest.fixture
def on_disk(server: Any, disk: Disk, changing: Make) -> Iterator[Any]:
    """A change of a database that lies on the small disk, catalogue and all."""
    name = f"d{uuid4().hex[:12]}"
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE TABLESPACE {name} LOCATION '{disk.folder}/data'".encode())
        connection.execute(f"CREATE DATABASE {name} TABLESPACE {name}".encode())
        try:
            with psycopg.connect(server.url(name), autocommit=True) as fresh:
                fresh.execute(PEOPLE.encode())
            yield type(changing("", LOUD))(server.url(name), LOUD)
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
            connection.execute(f"DROP TABLESPACE {name}".encode())


async def test_a_disk_that_is_full_before_or_in_the_middle_is_said_and_nothing_is_lost(
    on_disk: Any, disk: Disk
) -> None:
    await on_disk.begin()
    before, rows = on_disk.catalogue(), on_disk.rows(on_disk.url, "SELECT sum(hashtext(t::text)) FROM people t")
    disk.fill(but_mb=0)
    with pytest.raises(StepFailed, match="no room left") as caught:
        await on_disk.up_to_code()
    assert (caught.value.code, bool(caught.value.hint)) == ("disk-full", True)
    disk.clear()
    assert on_disk.catalogue() == before
    expand, backfill, _ = on_disk.steps.before
    await on_disk.driver.do(expand, MOMENT)
    disk.fill(but_mb=1)
    with pytest.raises(StepFailed, match="no room left"):
        await on_disk.driver.do(backfill, MOMENT)
    assert on_disk.rows(on_disk.old_url, "SELECT count(*) FROM people") == [(20000,)]
    disk.clear()
    await on_disk.back()
    assert on_disk.catalogue() == before
    assert on_disk.rows(on_disk.url, "SELECT sum(hashtext(t::text)) FROM people t") == rows
    await on_disk.up_to_code()
    await on_disk.contract()
