"""Behind a real pgbouncer in transaction mode: two schema versions at once, told apart by role, and hitless past it."""

import asyncio
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import psycopg
import pytest

from hitless.app.databases import Databases
from hitless.app.logins import WithLogins
from hitless.database.connecting import past_pooler
from hitless.database.driver import DatabaseDriver, lost, sessions, switched
from hitless.database.pooler import drop_role, make_role, pooled_url
from hitless.database.steps import schema_steps
from hitless.kit.clock import SystemClock
from hitless.kit.errors import HitlessError, Refused
from hitless.plan.ports import Moment
from hitless.plan.system import read_system
from hitless.runtime.free_ports import free_port
from hitless.runtime.shim.references import resolve

pytestmark = pytest.mark.live
Make = Callable[[str, str], Any]


async def note(_: dict[str, object]) -> None:
    """Progress."""


MOMENT = Moment(run="r1", position=0, started_at=0.0, note=note)
BINARY = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
AS_SOMEBODY = ["unshare", "-U", "--map-user=1000", "--map-group=1000", "--"] if os.getuid() == 0 else []
OWNER, ASKING = "hitless_test_pooled", "hitless_test_asking"
SETTINGS = """
[databases]
* = host={server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
pool_mode = transaction
server_idle_timeout = 1
auth_type = scram-sha-256
auth_file = {folder}/users
auth_user = {asking}
auth_query = SELECT usename, passwd FROM pooler.login($1)
"""
SETUP = f"""
DO $$ BEGIN CREATE ROLE {OWNER} LOGIN CREATEROLE; EXCEPTION WHEN duplicate_object THEN END $$;
DO $$ BEGIN CREATE ROLE {ASKING} LOGIN; EXCEPTION WHEN duplicate_object THEN END $$;
ALTER ROLE {OWNER} PASSWORD 'owns';
GRANT pg_read_all_settings TO {OWNER};
CREATE SCHEMA pooler AUTHORIZATION CURRENT_USER;
CREATE FUNCTION pooler.login(name text) RETURNS TABLE (usename name, passwd text) LANGUAGE sql SECURITY DEFINER
  AS 'SELECT usename, passwd FROM pg_catalog.pg_shadow WHERE usename = $1';
GRANT USAGE ON SCHEMA pooler TO {ASKING};
DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO {OWNER}', current_database()); END $$;
GRANT ALL ON SCHEMA public TO {OWNER};
SET SESSION AUTHORIZATION {OWNER};
CREATE TABLE people (id int PRIMARY KEY, name text NOT NULL);
INSERT INTO people SELECT g, 'name ' || g FROM generate_series(1, 2000) g;
"""
LOUD = """
operations:
  - add_column: {table: people, up: upper(name), column: {name: loud, type: text}}
  - drop_column: {table: people, column: name, down: lower(loud)}
"""


@pytest.fixture
def port(server: Any) -> Iterator[int]:
    """A pgbouncer in front of the server of the tests."""
    if BINARY is None:
        pytest.skip("no pgbouncer on PATH: apt-get install pgbouncer")
    number = free_port(secrets.randbits(32))
    folder = Path(tempfile.mkdtemp(prefix="hitless-pgbouncer-"))
    settings = SETTINGS.format(server=server.folder, port=number, folder=folder, asking=ASKING)
    (folder / "settings").write_text(settings)
    (folder / "users").write_text(f'"{ASKING}" "asks"\n')
    process = subprocess.Popen([*AS_SOMEBODY, BINARY, "--quiet", str(folder / "settings")])
    try:
        until(lambda: reachable(number))
        yield number
    finally:
        process.terminate()
        process.wait(60)
        shutil.rmtree(folder)


def until(condition: Callable[[], bool], bound_s: float = 120.0) -> None:
    deadline = time.monotonic() + bound_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def reachable(number: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", number)) == 0


class Code:
    """Code of one version that reads and writes without a pause, each statement a transaction of its own."""

    def __init__(self, url: str, first: int, write: str, read: str) -> None:
        self.url, self.first, self.write, self.read = url, first, write, read
        self.errors: list[str] = []
        self.done = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(20)

    def _run(self) -> None:
        try:
            with psycopg.connect(self.url, autocommit=True, prepare_threshold=None) as connection:
                while not self._over.is_set():
                    key = self.first + self.done
                    connection.execute(self.write.encode(), (key, f"row {key}"))
                    found = connection.execute(self.read.encode(), (key,)).fetchone()
                    assert found == (f"row {key}",), found
                    self.done += 1
        except (psycopg.Error, AssertionError) as error:
            self.errors.append(str(error))

    def goes_on(self, statements: int = 20) -> None:
        """Wait until it has done some more."""
        wanted = self.done + statements
        until(lambda: self.done >= wanted or bool(self.errors))
        assert self.errors == []


async def test_two_versions_live_behind_pgbouncer_switch_and_go_back_without_an_error(
    changing: Make, port: int
) -> None:
    behind = changing(SETUP, LOUD)
    database = behind.url.split("/")[3].partition("?")[0]
    change = type(behind)(f"postgresql://{OWNER}:owns@127.0.0.1:{port}/{database}", LOUD)
    assert "127.0.0.1" not in await past_pooler(change.url)
    with pytest.raises(psycopg.OperationalError, match="options"):
        psycopg.connect(change.new_url)

    async def login(version: str) -> str:
        return pooled_url(change.url, await make_role(change.url, version, "secret"), "secret")

    await change.begin()
    insert, said = "INSERT INTO people (id, name) VALUES (%s, %s)", "SELECT name FROM people WHERE id = %s"
    with Code(await login("0001_before"), 10_000, insert, said) as old:
        old.goes_on()
        await change.up_to_code()
        new_url = await login("0002_change")
        insert, said = (
            "INSERT INTO people (id, loud) VALUES (%s, upper(%s))",
            "SELECT lower(loud) FROM people WHERE id = %s",
        )
        with Code(new_url, 50_000, insert, said) as new:
            new.goes_on()
            roles = {
                each.role for version in ("0001_before", "0002_change") for each in await sessions(change.url, version)
            }
            assert {role.rpartition("_000")[2] for role in roles} == {"1_before", "2_change"}, roles
            for on in (True, False, True):
                await switched(change.url, "0002_change", on=on)
                old.goes_on()
                new.goes_on()
            with pytest.raises(Refused, match=r"sessions? do(es)? not use"):
                await change.contract()
        assert await lost(change.url, "0002_change", "new") == []
        await change.back()
        old.goes_on()
    assert (old.errors, new.errors) == ([], [])
    assert min(old.done, new.done) > 60
    await drop_role(change.url, "0002_change")
    assert behind.rows(behind.url, "SELECT count(*) FROM people") == [(2000 + old.done + new.done,)]
    await change.up_to_code()
    await contracted(change)
    assert behind.rows(behind.url, "SELECT count(*) FROM people WHERE loud = upper(loud)")[0][0] >= 2000


async def contracted(change: Any) -> None:
    """Contract once the pooler has let go of the old version's sessions: it keeps them for a while."""
    for _ in range(600):
        try:
            await change.contract()
        except Refused:
            await asyncio.sleep(0.2)
        else:
            return
    raise AssertionError("old sessions stayed")


async def test_a_server_that_cannot_be_reached_past_the_pooler_is_said_with_the_way_out(
    changing: Make, port: int
) -> None:
    behind = changing(SETUP + f"RESET SESSION AUTHORIZATION; REVOKE pg_read_all_settings FROM {OWNER};", LOUD)
    database = behind.url.split("/")[3].partition("?")[0]
    with pytest.raises(HitlessError, match="pooler") as caught:
        await sessions(f"postgresql://{OWNER}:owns@127.0.0.1:{port}/{database}", "0001_before")
    assert (caught.value.code, "direct" in caught.value.hint) == ("behind-pooler", True)


async def test_services_get_the_pooler_and_hitless_the_way_that_the_system_file_names(
    changing: Make, port: int, tmp_path: Path
) -> None:
    behind = changing(SETUP + f"RESET SESSION AUTHORIZATION; REVOKE pg_read_all_settings FROM {OWNER};", LOUD)
    database = behind.url.split("/")[3].partition("?")[0]
    (tmp_path / "url").write_text(f"postgresql://{OWNER}:owns@127.0.0.1:{port}/{database}")
    (tmp_path / "direct").write_text(behind.url.replace("//hitless@", f"//{OWNER}@"))
    for name, text in (("0001_people", "operations: []"), ("0002_loud", LOUD)):
        (tmp_path / "migrations").mkdir(exist_ok=True)
        (tmp_path / "migrations" / f"{name}.yaml").write_text(text)
    (tmp_path / "state" / "run").mkdir(parents=True)
    system = read_system(
        "system: s\ndatabases: { main: { url: 'file:url', direct: 'file:direct', pooler: true, version: 0001_people, "
        "migrations: migrations/ } }\nservices: { a: { run: [a], version: '1', database: main } }",
        file="hitless.yaml",
    )
    here = Databases(system=system, folder=tmp_path, state=tmp_path / "state")
    await here.bring_up(SystemClock())
    driver = WithLogins(DatabaseDriver(here.url), here)
    for step in schema_steps("main", (here.migrations("main")[1],)).before:
        await driver.do(step, MOMENT)
    shown = {"0001_people": "name", "0002_loud": "loud"}
    for version, column in shown.items():
        url = resolve(here.url_for_services("main", version), {})
        assert f"127.0.0.1:{port}" in url
        with psycopg.connect(url, autocommit=True, prepare_threshold=None) as service:
            found = service.execute(f"SELECT lower({column}) FROM people WHERE id = 7".encode()).fetchone()
            assert found == ("name 7",)
