"""Finds statements of a user's SQL that would end the transaction in which it runs, or cannot run in one. Pure."""

import re

# what stands in comments, texts and quoted names is no statement
_QUIET = re.compile(
    r"""
      (?P<comment>--[^\n]* | /\*.*?(?:\*/|\Z))
    | (?P<tag>\$(?:[A-Za-z_][A-Za-z_0-9]*)?\$).*?(?:(?P=tag)|\Z)      # $$ ... $$
    | \b[eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")*"
    """,
    re.VERBOSE | re.DOTALL,
)
_WORD_OR_END = re.compile(r"(?P<word>[A-Za-z_][A-Za-z_0-9$]*)|;")
_ENDS = {"COMMIT", "END", "ROLLBACK", "ABORT", "BEGIN", "START", "PREPARE"}
_WITHOUT_DOUBT = _ENDS - {"ROLLBACK", "PREPARE"}
_ALONE = re.compile(
    r"\s*(?:CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY|DROP\s+INDEX\s+CONCURRENTLY|REINDEX\b.*?\bCONCURRENTLY"
    r"|REINDEX\s+(?:\([^)]*\)\s*)?(?:DATABASE|SYSTEM|SCHEMA)|VACUUM|ALTER\s+SYSTEM|(?:CREATE|DROP)\s+(?:DATABASE|TABLESPACE)"
    r"|ALTER\s+TABLE\b.*?\bDETACH\s+PARTITION\b.*?\bCONCURRENTLY)\b",
    re.IGNORECASE | re.DOTALL,
)


def transaction_control(sql: str) -> str | None:
    """Return the words of the first statement that begins or ends a transaction; None: there is none.

    The body of a function between BEGIN ATOMIC and END is a part of its statement.
    """
    statement: list[str] = []
    depth = 0
    for found in _WORD_OR_END.finditer(_spoken(sql) + ";"):
        if word := found["word"]:
            statement.append(word.upper())
            if statement[-2:] == ["BEGIN", "ATOMIC"] or (depth and statement[-1] == "CASE"):
                depth += 1
            elif depth and statement[-1] == "END":
                depth -= 1
        elif not depth:
            if _controls(statement):
                return " ".join(statement[:3])
            statement = []
    return None


def _controls(statement: list[str]) -> bool:
    """Judge by the first words; ROLLBACK TO a savepoint and PREPARE of a query leave the transaction alone."""
    first, second = (*statement, "", "")[:2]
    if first == "ROLLBACK":
        return "TO" not in statement[:3]
    if first == "PREPARE":
        return second == "TRANSACTION"
    return first in _WITHOUT_DOUBT


def outside_transaction(sql: str) -> str | None:
    """Return the beginning of the first statement that cannot run inside a transaction; None: all can.

    Source: the PostgreSQL manual, "cannot be executed inside a transaction block" of each command.
    """
    for statement in _spoken(sql).split(";"):
        if (found := _ALONE.match(statement)) is not None:
            return " ".join(found[0].split())
    return None


def _spoken(sql: str) -> str:
    """Return SQL with empty texts and names, and without comments."""
    return _QUIET.sub(lambda found: " " if found["comment"] else "''", sql)
