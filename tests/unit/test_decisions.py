"""What decides takes facts and returns a value: a file whose first lines end with "Pure." reaches no clock and no I/O."""

import ast
from pathlib import Path

import grimp
import pytest

import hitless

ROOT = Path(hitless.__file__).parent
FORBIDDEN = (
    *("asyncio", "grpc", "http", "os", "psycopg", "random", "select", "socket", "ssl", "starlette", "subprocess"),
    *("threading", "time", "uvicorn"),
)
# Edges that are known, each with its reason; a new one needs a better reason than these.
KNOWN = (
    ("hitless.database.observation", "hitless.database.postgres"),  # the values it returns stand beside what looks
    ("hitless.database.observation", "hitless.database.shape"),  # as above
    ("hitless.database.observation", "hitless.database.reading"),  # as above
    ("hitless.flags.flagset", "time"),  # the $flagd.timestamp of flagd is the clock, unless a caller gives one
    ("hitless.server.openapi", "starlette"),  # reads the routes, serves nothing
)


def pure_modules() -> list[str]:
    found = []
    for file in sorted(ROOT.rglob("*.py")):
        told = (ast.get_docstring(ast.parse(file.read_text())) or "").split("\n\n")[0]
        if told.endswith("Pure.") and file.name != "__init__.py":
            found.append(".".join(file.relative_to(ROOT.parent).with_suffix("").parts))
    return found


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    graph = grimp.build_graph("hitless", include_external_packages=True, cache_dir=None)
    for importer, imported in KNOWN:
        if importer in graph.modules and imported in graph.modules:
            graph.remove_import(importer=importer, imported=imported)
    return graph


def test_most_of_the_code_decides() -> None:
    assert len(pure_modules()) > 100


def test_what_decides_reaches_no_clock_and_no_io(graph: grimp.ImportGraph) -> None:
    broken = [
        " -> ".join(graph.find_shortest_chain(importer=module, imported=forbidden) or ())
        for module in pure_modules()
        for forbidden in graph.find_upstream_modules(module) & set(FORBIDDEN)
    ]
    assert broken == []
