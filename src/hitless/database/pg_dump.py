"""Reads the schema of a database with pg_dump."""

import asyncio
import os
import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from hitless.database.names import quoted
from hitless.database.needed import Relation
from hitless.kit.errors import HitlessError

DUMP_S = 30.0
TOGETHER = 500  # names in one pattern: pg_dump asks the server once for each pattern
_OLDER_SERVERS = r"SET (transaction_timeout|default_table_access_method) .*"
_LEFT_OUT = re.compile(rf"^(\\.*|{_OLDER_SERVERS}|CREATE EXTENSION .*pg_stat_statements.*)$", re.MULTILINE)
_NAME = r"(?:\w+|\"(?:[^\"\n]|\"\")+\")"
_QUALIFIED = rf"(?P<table>{_NAME}\.{_NAME})"
_TABLE = re.compile(
    rf"^(?P<start>CREATE TABLE {_QUALIFIED} \((?:\n    [^\n]*)+)\n\);\n", re.MULTILINE
)  # no more than that
_KEY = re.compile(
    rf"^ALTER TABLE ONLY {_QUALIFIED}\n    ADD (?P<key>CONSTRAINT {_NAME} PRIMARY KEY \([^()\n]*\));\n", re.MULTILINE
)
_ENVIRONMENT = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "service": "PGSERVICE",
}
_WORDS = ("schema-only", "no-owner", "no-privileges", "no-publications", "no-subscriptions", "no-security-labels")


async def schema_of_database(program: Path, url: str, without: Iterable[Relation] = ()) -> str:
    """Return the SQL that makes the same empty tables elsewhere, without what is ours and the relations `without`.

    Raises HitlessError `no-dump` if pg_dump is older than the server, or is not let in.
    """
    parts = {name: str(value) for name, value in conninfo_to_dict(url).items() if value is not None}
    environment = {_ENVIRONMENT[name]: value for name, value in parts.items() if name in _ENVIRONMENT}
    process = await asyncio.create_subprocess_exec(
        str(program),
        *(f"--{word}" for word in (*_WORDS, "no-tablespaces", "no-comments", "exclude-schema=hitless")),
        *(f"--exclude-table={each}" for each in patterns(without)),
        env={"PATH": os.environ.get("PATH", ""), "HOME": os.environ.get("HOME", ""), **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(DUMP_S):
            output, said = await process.communicate()
    except BaseException as error:
        process.kill()
        await process.wait()
        if isinstance(error, TimeoutError):
            raise HitlessError("no-dump", f"pg_dump was not over after {DUMP_S:g} s") from None
        raise
    if process.returncode != 0:
        raise HitlessError("no-dump", f"pg_dump: {said.decode(errors='replace').strip()[-300:]}")
    sql = _LEFT_OUT.sub("", output.decode()).replace("CREATE SCHEMA public;", "CREATE SCHEMA IF NOT EXISTS public;")
    return keys_inside(sql)


def patterns(relations: Iterable[Relation]) -> Iterator[str]:
    """Write relations as patterns of pg_dump, many in one; in quotes every character means itself."""
    for space, group in groupby(sorted(relations), lambda each: each[0]):
        names = [quoted(name) for _, name in group]
        for first in range(0, len(names), TOGETHER):
            yield f"{quoted(space)}.({'|'.join(names[first : first + TOGETHER])})"


def keys_inside(sql: str) -> str:
    """Put primary keys into the statements that make their tables: an index of a new table costs half as much."""
    keys = {found["table"]: found for found in _KEY.finditer(sql)}
    moved: set[str] = set()

    def with_key(found: re.Match[str]) -> str:
        key = keys.get(found["table"])
        if key is None:
            return found[0]
        moved.add(found["table"])
        return f"{found['start']},\n    {key['key']}\n);\n"

    sql = _TABLE.sub(with_key, sql)
    return _KEY.sub(lambda found: "" if found["table"] in moved else found[0], sql)
