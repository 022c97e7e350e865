"""What squawk says about SQL that a migration brings along: the optional extra `hitless[lint]`."""

import asyncio
import json
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from hitless.database.findings import Finding
from hitless.database.migration import Migration
from hitless.database.operations import RawSql

LINT_S = 5.0
# What is a matter of taste, or looked after by how hitless runs statements: short tries for locks, own transactions.
LEFT_OUT = (
    "prefer-bigint-over-int,prefer-bigint-over-smallint,prefer-identity,prefer-robust-stmts,prefer-text-field,"
    "prefer-timestamp-tz,require-timeout-settings,ban-drop-column,ban-drop-table"
)

WORDS = ("--reporter", "json", "--assume-in-transaction", "--exclude", LEFT_OUT)


async def lint(migrations: Iterable[Migration], major: int) -> tuple[Finding, ...]:
    """Return findings named `squawk:RULE` for raw SQL on PostgreSQL `major`; none where squawk is not installed."""
    statements = [(each.name, sql) for each in migrations for sql in _raw(each)]
    program = _squawk() if statements else None
    if program is None:
        return ()
    words = (program, *WORDS, "--pg-version", f"{major}.0")
    found = [await _asked(words, name, sql) for name, sql in statements]
    return tuple(finding for each in found for finding in each)


def _raw(migration: Migration) -> Iterator[str]:
    for operation in migration.read().operations:
        if isinstance(operation.change, RawSql):
            yield operation.change.up


def _squawk() -> str | None:
    beside = Path(sys.executable).parent / "squawk"
    return str(beside) if beside.exists() else shutil.which("squawk")


async def _asked(words: tuple[str, ...], name: str, sql: str) -> list[Finding]:
    process = await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(LINT_S):
            output, _ = await process.communicate(sql.encode())
    except TimeoutError:
        process.kill()
        await process.wait()
        return []
    said = []
    with suppress(ValueError):
        said = json.loads(output or b"[]")
    return [
        Finding(
            rule=f"squawk:{each['rule_name']}",
            text=f"{name}, line {each['line'] + 1} of its SQL: {each['message']}",
            hint=str(each.get("help") or ""),
            refuses=each["level"] == "Error",
        )
        for each in said
    ]
