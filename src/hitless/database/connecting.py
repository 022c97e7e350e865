"""Connects to the server of a database itself, also where its URL leads to a pooler; what a server says, in our form.

A pooler that gives each transaction another session would lose what ours has set, and hand it to strangers.
"""

from typing import Any
from urllib.parse import quote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

from hitless.database.telling import plainly
from hitless.kit.errors import HitlessError
from hitless.plan.ports import StepFailed

CONNECT_S = 5
# A pooler tells its clients a process id of its own making; the server tells the real one, and where it is: its
# address, or the folder of its socket to roles that may read that.
WHERE = """
SELECT pg_backend_pid() AS pid, pg_postmaster_start_time() AS started,
       session_user::text AS user, current_database()::text AS dbname,
       coalesce(host(inet_server_addr()), CASE WHEN pg_has_role('pg_read_all_settings', 'MEMBER')
         THEN split_part(current_setting('unix_socket_directories'), ',', 1) END) AS host,
       coalesce(inet_server_port()::text, current_setting('port')) AS port
"""

Row = dict[str, Any]


async def connect(url: str) -> psycopg.AsyncConnection[Row]:
    """Connect to the server. Raises HitlessError `database-down`, `behind-pooler` where the way past it is closed."""
    connection, found = await _arrived(url)
    if not found["pooled"]:
        return connection
    await connection.close()
    try:
        direct, there = await _arrived(_past(url, found))
        if there["started"] == found["started"]:
            return direct
        await direct.close()
        said = "something else answers"
    except HitlessError as error:
        said = error.text
    where = f"{found['host'] or 'a socket that this role may not know'}, port {found['port']}"
    text = f"its URL leads to a pooler, and hitless does not get to the server behind it ({where}): {said}"
    raise HitlessError("behind-pooler", text, "name the way to the server: databases.NAME.direct")


async def past_pooler(url: str) -> str:
    """Return what leads to the server itself: the URL as it is where no pooler stands in between."""
    connection, found = await _arrived(url)
    await connection.close()
    return _past(url, found) if found["pooled"] else url


async def _arrived(url: str) -> tuple[psycopg.AsyncConnection[Row], Row]:
    """Connect, and return what answers, and whether a pooler stands in between."""
    try:
        connection = await _connected(url)
        try:
            found = await (await connection.execute(WHERE.encode())).fetchone()
        except BaseException:  # also where the step is given up just now
            await connection.close()
            raise
    except psycopg.OperationalError as error:
        raise HitlessError("database-down", f"the database does not answer: {error}".strip(), "start it") from None
    told = found or {}
    return connection, {**told, "pooled": told["pid"] != connection.info.backend_pid}


def _past(url: str, found: Row) -> str:
    parts = {**conninfo_to_dict(url), "user": found["user"], "host": found["host"] or "", "port": found["port"]}
    for name in ("dbname", "hostaddr"):  # the one stands in the path, the other is the pooler's
        parts.pop(name, None)
    return f"postgresql:///{quote(found['dbname'], safe='')}?{urlencode(parts, quote_via=quote)}"


async def _connected(url: str) -> psycopg.AsyncConnection[Row]:
    return await psycopg.AsyncConnection.connect(
        url,
        autocommit=True,
        row_factory=dict_row,
        connect_timeout=CONNECT_S,
        application_name="hitless",
        prepare_threshold=None,  # base tables change under us
    )


class as_failure:  # noqa: N801  used as a word: `with as_failure():`
    """Say what the server said in our own form; what cannot be done is taken back."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        match error:
            case psycopg.OperationalError() if error.sqlstate is None or error.sqlstate.startswith(("08", "57")):
                raise HitlessError(
                    "database-down",
                    f"the connection was lost: {error}".strip(),
                    "a run that has begun tries again by itself; without one, give the command again once it answers",
                ) from error
            case psycopg.errors.ReadOnlySqlTransaction():
                text = f"the database takes no writes: {error}".strip()
                raise HitlessError("database-read-only", text, "point the URL at the primary, apply again") from error
            case psycopg.errors.DiskFull():
                text = f"the database has no room left: {error}".strip()
                raise StepFailed("disk-full", text, "give it more (plan says how much), apply again") from error
            case psycopg.errors.IntegrityError():
                diag = error.diag
                rule = f" ({diag.constraint_name.removeprefix('_hitless_')})" if diag.constraint_name else ""
                text = f"rows of {diag.table_name or 'a table'} break a rule{rule}: {plainly(error)}"
                raise StepFailed("rows-break-rule", text, "correct the rows, or `up`, and apply again") from error
            case psycopg.Error():
                said = f"{error.sqlstate}: {plainly(error)}"
                raise StepFailed("statement-failed", f"PostgreSQL says {said}", "correct the migration") from error
            case _:
                return
