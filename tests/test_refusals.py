"""Every refusal that hitless can give was given while a test ran that names it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import hitless

KINDS = ("Refused", "Refusal")  # what ends with exit code 3


def codes() -> Iterator[str]:
    """The codes of the refusals in the source."""
    for file in Path(hitless.__file__).parent.rglob("*.py"):
        for call in ast.walk(ast.parse(file.read_text())):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in KINDS:
                given = [each.value for each in call.keywords if each.arg == "code"] or call.args[:1]
                yield from (each.value for each in given if isinstance(each, ast.Constant))


def test_every_refusal_was_provoked_by_a_test_that_names_it(provoked: set[str]) -> None:
    assert set(codes()) - provoked == set()
