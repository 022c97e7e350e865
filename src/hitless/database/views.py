"""A schema version as a schema of plain updatable views. Pure."""

# ruff: noqa: S608  every name that is put in is quoted

from collections.abc import Mapping
from dataclasses import replace

from hitless.database.catalogue import Catalogue, Table
from hitless.database.names import quoted

NO_DEFAULTS: Mapping[str, Mapping[str, str]] = {}
Grants = Mapping[str, tuple[tuple[str, tuple[str, ...]], ...]]  # table -> (role, rights)
NO_GRANTS: Grants = {}


def create_schema(schema: str, grants: Grants = NO_GRANTS) -> tuple[str, ...]:
    """Write the statements that make a place for a version, open to who may use a table."""
    roles = sorted({role for each in grants.values() for role, _ in each})
    return (f"CREATE SCHEMA {quoted(schema)}", *(f"GRANT USAGE ON SCHEMA {quoted(schema)} TO {each}" for each in roles))


def create_views(
    schema: str,
    catalogue: Catalogue,
    defaults: Mapping[str, Mapping[str, str]] = NO_DEFAULTS,
    grants: Grants = NO_GRANTS,
) -> tuple[str, ...]:
    """Write the views of a version; upserts, RETURNING and FOR UPDATE work on them.

    `defaults`: physical table -> physical column -> SQL. Who may use a table may use its view; a table with row level
    security keeps asking who reads it.
    """
    statements: list[str] = []
    for name, table in catalogue.tables.items():
        statements.append(_view(schema, name, table))
        view = f"{quoted(schema)}.{quoted(name)}"
        own = defaults.get(table.physical, {})
        for column, each in table.columns.items():
            if each.physical in own:
                given = f"ALTER VIEW {view} ALTER COLUMN {quoted(column)} SET DEFAULT {own[each.physical]}"
                statements.append(given)
        base = table.physical.removeprefix("_hitless_") if table.physical not in grants else table.physical
        statements += [f"GRANT {', '.join(rights)} ON {view} TO {role}" for role, rights in grants.get(base, ())]
    return tuple(statements)


def _view(schema: str, name: str, table: Table) -> str:
    columns = ", ".join(f"{quoted(column.physical)} AS {quoted(each)}" for each, column in table.columns.items())
    secured = " WITH (security_invoker = true)" if table.secured else ""
    view = f"{quoted(schema)}.{quoted(name)}"
    return f"CREATE OR REPLACE VIEW {view}{secured} AS SELECT {columns} FROM {quoted(table.physical)}"


def drop_views(schema: str) -> tuple[str, ...]:
    """Write the statement that takes a version away."""
    return (f"DROP SCHEMA IF EXISTS {quoted(schema)} CASCADE",)


def extend_views(schema: str, catalogue: Catalogue, views: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Write what gives a version the columns and tables that SQL at contract has made; others stay as they are."""
    statements = []
    for name, table in catalogue.tables.items():
        seen = [each for each in views.get(name, ()) if each in table.columns]
        fresh = [each for each in table.columns if each not in seen]
        if fresh:
            columns = {each: table.columns[each] for each in (*seen, *fresh)}
            statements.append(_view(schema, name, replace(table, columns=columns)))
    return tuple(statements)
