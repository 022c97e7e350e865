"""Which refusals were provoked by a test that names them: seen while the tests run, not read from their text.

A code counts once hitless itself has raised or returned it (not a fake of a test) while a test ran that has the code
among its constants or parameters. `tests/test_refusals.py` looks at the end of a whole run whether one is left over.
"""

import inspect
import re
import sys
from collections.abc import Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import pytest

import hitless
from hitless.database.findings import Finding
from hitless.kit.errors import HitlessError
from hitless.plan.plan import Refusal

SOURCES = str(Path(hitless.__file__).parent)
LAST = "test_refusals.py"
Codes = set[str]
_SAID = re.compile(r'"code": "([a-z0-9-]+)"|^([a-z0-9-]+): ', re.MULTILINE)

proven: Codes = set()  # over the whole session
_said: Codes = set()  # during the test that runs now


def heard(*outputs: str) -> None:
    """Note the codes in what a command of hitless has printed."""
    _said.update(each[0] or each[1] for output in outputs for each in _SAID.findall(output))


def pytest_configure() -> None:
    """Note each code that hitless gives to an error, a refusal or a finding, from now on."""
    for kind in (HitlessError, Refusal, Finding):
        kind.__init__ = _noting(kind.__init__)  # type: ignore[method-assign]


def _noting(init: Any) -> Any:
    names = inspect.signature(init)

    @wraps(init)
    def noting(*args: Any, **kwargs: Any) -> None:
        init(*args, **kwargs)
        if sys._getframe(1).f_code.co_filename.startswith(SOURCES):
            given = names.bind(*args, **kwargs).arguments
            _said.add(given.get("code") or given.get("rule") or "")

    return noting


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Compare what was said during a test with what it names."""
    _said.clear()
    yield
    proven.update(_said & named(item))


def named(item: pytest.Item) -> Codes:
    """Return the texts that a test has among its constants and parameters."""
    function = inspect.unwrap(getattr(item, "function", named))
    found = set(_constants(function.__code__))
    parameters = getattr(getattr(item, "callspec", None), "params", {}).values()
    return found | {word for value in parameters for word in re.findall(r"[a-z0-9-]+", repr(value))}


def _constants(code: Any) -> Iterator[str]:
    for each in code.co_consts:
        if isinstance(each, str):
            yield each
        elif isinstance(each, tuple | frozenset):
            yield from (word for word in each if isinstance(word, str))
        elif inspect.iscode(each):
            yield from _constants(each)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have what looks back come last."""
    items.sort(key=lambda item: item.path.name == LAST)


@pytest.fixture
def provoked(request: pytest.FixtureRequest) -> Codes:
    """Return the codes that tests have provoked and named; skips where only a part of the tests runs."""
    config = request.config
    if config.args_source is not config.ArgsSource.TESTPATHS or config.option.keyword or config.option.markexpr:
        pytest.skip("a part of the tests provokes a part of the refusals")
    return proven
