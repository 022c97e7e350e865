"""Finds statements of a user's SQL that would end the transaction in which it runs. Pure."""

import re

_TOKEN = re.compile(
    r"""
      --[^\n]* | /\*.*?(?:\*/|\Z)                                   # comments
    | (?P<tag>\$(?:[A-Za-z_][A-Za-z_0-9]*)?\$).*?(?:(?P=tag)|\Z)      # $$ ... $$
    | \b[eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")*"   # texts and names
    | (?P<word>[A-Za-z_][A-Za-z_0-9$]*) | (?P<end>;)
    """,
    re.VERBOSE | re.DOTALL,
)
_ENDS = {"COMMIT", "END", "ROLLBACK", "ABORT", "BEGIN", "START", "PREPARE"}
_WITHOUT_DOUBT = _ENDS - {"ROLLBACK", "PREPARE"}


def transaction_control(sql: str) -> str | None:
    """Return the words of the first statement that begins or ends a transaction; None: there is none.

    The body of a function between BEGIN ATOMIC and END is a part of its statement.
    """
    statement: list[str] = []
    depth = 0
    for found in _TOKEN.finditer(sql + ";"):
        if word := found["word"]:
            statement.append(word.upper())
            if statement[-2:] == ["BEGIN", "ATOMIC"] or (depth and statement[-1] == "CASE"):
                depth += 1
            elif depth and statement[-1] == "END":
                depth -= 1
        elif found["end"] and not depth:
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
