"""What a backfill will cost, before anything is done: time, WAL, bloat, disk. Pure.

Figures behind it: bytes of WAL for each row and growth as measured on rows of 171 bytes (in place 560 to 700 B a row
and a heap twice as large; a new table 300 B a row), scaled to the size of a row.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from hitless.database.migration import Migration
from hitless.database.operations import (
    AddColumn,
    AlterColumn,
    CreateConstraint,
    DropConstraint,
    DropMulticolumnConstraint,
    ShadowTable,
)

IN_PLACE_ROWS_S, SHADOW_ROWS_S = 100_000.0, 150_000.0  # rows of 171 bytes on two cores
ROW_BYTES = 171.0
IN_PLACE_WAL, SHADOW_WAL = 3.7, 1.8  # bytes of WAL for each byte of a row
VACUUM_FROM_BYTES, VACUUM_SHARE = 1_000_000_000.0, 0.2  # larger tables are cleaned up after each fifth


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What is to be expected for one table."""

    table: str
    method: Literal["in place", "shadow", "catalogue only"]
    why: str
    rows: int
    seconds: float
    wal_bytes: int
    bloat_bytes: int  # space in the table that is empty afterwards, and used again by later writes
    disk_bytes: int  # that must be free while it runs, without WAL


def forecast(migrations: tuple[Migration, ...], sizes: Mapping[str, tuple[int, int]]) -> tuple[Forecast, ...]:
    """Return the forecasts by table; `sizes` gives rows and bytes of each. Raises InvalidInput for a broken file."""
    methods: dict[str, tuple[Literal["in place", "shadow"], str]] = {}
    for change in (operation.change for each in migrations for operation in each.read().operations):
        found = _method(change)
        table = str(getattr(change, "table", ""))
        if found is not None and methods.get(table, ("in place", ""))[0] != "shadow":
            methods[table] = found
    return tuple(
        _priced(table, method, why, *sizes[table]) for table, (method, why) in methods.items() if table in sizes
    )


def _method(change: object) -> tuple[Literal["in place", "shadow"], str] | None:
    match change:
        case ShadowTable():
            return "shadow", "the table gets another shape"
        case CreateConstraint(type="exclude"):
            return "shadow", "an exclusion constraint can only be built under a lock, or on a new table"
        case AddColumn() if change.column.generated is not None and change.column.generated.expression is not None:
            stored = not change.column.generated.virtual
            return ("shadow", "a stored generated column writes every row anew") if stored else None
        case AddColumn() if change.up is not None or "(" in (change.column.default or ""):
            return "in place", "one column is filled: no index but its own is touched"
        case AlterColumn() if change.model_fields_set & {"type", "nullable", "default", "up"}:
            return "in place", "one column gets a stand-in"
        case CreateConstraint() | DropConstraint() | DropMulticolumnConstraint() if change.up:
            return "in place", "columns of the constraint get stand-ins"
        case _:
            return None


def _priced(table: str, method: Literal["in place", "shadow"], why: str, rows: int, heap_bytes: int) -> Forecast:
    width = max(heap_bytes / rows, 24.0) if rows else ROW_BYTES
    slower = max(1.0, width / ROW_BYTES)
    if method == "shadow":
        return Forecast(
            table=table,
            method=method,
            why=why,
            rows=rows,
            seconds=rows * slower / SHADOW_ROWS_S,
            wal_bytes=int(heap_bytes * SHADOW_WAL),
            bloat_bytes=0,
            disk_bytes=int(heap_bytes * 1.3),
        )
    grown = heap_bytes * (1.1 if heap_bytes < VACUUM_FROM_BYTES else VACUUM_SHARE * 1.1)
    return Forecast(
        table=table,
        method=method,
        why=why,
        rows=rows,
        seconds=rows * slower / IN_PLACE_ROWS_S,
        wal_bytes=int(heap_bytes * IN_PLACE_WAL),
        bloat_bytes=int(grown),
        disk_bytes=int(grown + heap_bytes * 0.1),
    )
