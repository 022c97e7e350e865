"""Ranges of keys, in the order of an index: how tables are walked without ever reading one whole. Pure."""

# ruff: noqa: S608  every name and value that is put in is quoted

from hitless.database.names import literal, quoted

Bound = list[str] | None  # the texts of one key; None: before the first


def row(values: list[str]) -> str:
    """Write the texts of a key as a row; PostgreSQL gives them the types of the columns."""
    return f"({', '.join(literal(value) for value in values)})"


def within(key: tuple[str, ...], last: Bound, bound: Bound, alias: str = "") -> str:
    """Write the condition of keys behind `last`, up to `bound`; None leaves that end open."""
    columns = f"({', '.join((f'{alias}.' if alias else '') + quoted(each) for each in key)})"
    parts = [f"{columns} > {row(last)}"] if last else []
    parts += [f"{columns} <= {row(bound)}"] if bound else []
    return " AND ".join(parts) or "true"


def bound_query(table: str, key: tuple[str, ...], last: Bound, size: int) -> str:
    """Write the query for the last key of the next `size` rows, as texts; no row behind the end."""
    names = ", ".join(quoted(each) for each in key)
    texts = ", ".join(f"{quoted(each)}::text" for each in key)
    down = ", ".join(f"{quoted(each)} DESC" for each in key)
    page = f"SELECT {names} FROM {quoted(table)} WHERE {within(key, last, None)} ORDER BY {names} LIMIT {size:d}"
    rows = f"({page}) AS _hitless_page"  # the name tells it from queries of running code
    return f"SELECT ARRAY[{texts}] AS bound, count(*) OVER () AS rows FROM {rows} ORDER BY {down} LIMIT 1"
