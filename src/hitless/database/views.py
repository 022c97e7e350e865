"""A schema version as a schema of plain updatable views. Pure."""

# ruff: noqa: S608  every name that is put in is quoted

from collections.abc import Mapping

from hitless.database.catalogue import Catalogue
from hitless.database.names import quoted, schema_of

NO_DEFAULTS: Mapping[str, Mapping[str, str]] = {}


def create_views(
    version: str, catalogue: Catalogue, defaults: Mapping[str, Mapping[str, str]] = NO_DEFAULTS
) -> tuple[str, ...]:
    """Write the statements that make a version; upserts, RETURNING and FOR UPDATE work on its views."""
    schema = quoted(schema_of(version))
    statements = [f"CREATE SCHEMA {schema}"]
    for name, table in catalogue.tables.items():
        columns = ", ".join(f"{quoted(column.physical)} AS {quoted(each)}" for each, column in table.columns.items())
        view = f"{schema}.{quoted(name)}"
        statements.append(f"CREATE VIEW {view} AS SELECT {columns} FROM public.{quoted(table.physical)}")
        for column, expression in defaults.get(name, {}).items():
            if column in table.columns:
                statements.append(f"ALTER VIEW {view} ALTER COLUMN {quoted(column)} SET DEFAULT {expression}")
    return tuple(statements)


def drop_views(version: str) -> tuple[str, ...]:
    """Write the statement that takes a version away."""
    return (f"DROP SCHEMA IF EXISTS {quoted(schema_of(version))} CASCADE",)


def extend_views(version: str, catalogue: Catalogue, views: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Write what gives a version the columns and tables that SQL at contract has made; others stay as they are."""
    schema = quoted(schema_of(version))
    statements = []
    for name, table in catalogue.tables.items():
        seen = views.get(name, ())
        fresh = [each for each in table.columns if each not in seen]
        if fresh:
            columns = ", ".join(quoted(each) for each in (*seen, *fresh))
            replace = f"CREATE OR REPLACE VIEW {schema}.{quoted(name)} AS SELECT {columns} FROM public.{quoted(name)}"
            statements.append(replace)
    return tuple(statements)
