"""Statements that PostgreSQL runs only outside a transaction. Pure."""

import re

# texts, quoted names and comments: what stands in them is no statement
_QUIET = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|(\$\w*\$).*?\1|--[^\n]*|/\*.*?\*/", re.DOTALL)
_ALONE = re.compile(
    r"\s*(?:CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY|DROP\s+INDEX\s+CONCURRENTLY|REINDEX\b.*?\bCONCURRENTLY"
    r"|REINDEX\s+(?:\([^)]*\)\s*)?(?:DATABASE|SYSTEM|SCHEMA)|VACUUM|ALTER\s+SYSTEM|(?:CREATE|DROP)\s+(?:DATABASE|TABLESPACE)"
    r"|ALTER\s+TABLE\b.*?\bDETACH\s+PARTITION\b.*?\bCONCURRENTLY)\b",
    re.IGNORECASE | re.DOTALL,
)


def outside_transaction(sql: str) -> str | None:
    """Return the beginning of the first statement that cannot run inside a transaction; None: all can.

    Source: the PostgreSQL manual, "cannot be executed inside a transaction block" of each command.
    """
    for statement in _QUIET.sub(lambda found: " " if found[0][0] in "-/" else "''", sql).split(";"):
        if (found := _ALONE.match(statement)) is not None:
            return " ".join(found[0].split())
    return None
