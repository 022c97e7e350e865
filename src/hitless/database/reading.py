"""What a database says about itself: base tables, views, rights, sessions. Reads only."""

from dataclasses import dataclass

from hitless.database.catalogue import Catalogue, Column, Constraint, Index, Table
from hitless.database.connecting import Row
from hitless.database.names import MARK, schema_of
from hitless.database.postgres import Target
from hitless.database.queries import COLUMNS, CONSTRAINTS, GRANTS, INDEXES, PINNED, SESSIONS, VIEWS


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A client connected to the database."""

    pid: int
    name: str  # application_name
    peer: str
    role: str = ""


async def catalogue(target: Target) -> Catalogue:
    """Read the base tables."""
    tables: dict[str, list[Row]] = {}
    for row in await target.rows(COLUMNS):
        tables.setdefault(row["base"], []).append(row)
    indexes, keys = await _indexes(target)
    constraints: dict[str, list[Constraint]] = {}
    for row in await target.rows(CONSTRAINTS):
        columns = {name: tuple(row[name]) for name in ("columns", "target_columns")}
        constraints.setdefault(row.pop("base"), []).append(Constraint(**{**row, **columns}))
    return Catalogue(
        tables={
            name: Table(
                physical=name,
                columns={row["name"]: _column(row) for row in rows if row["name"] != MARK},
                key=keys.get(name, ()),
                indexes=tuple(indexes.get(name, ())),
                constraints=tuple(constraints.get(name, ())),
                partitioned=rows[0]["partitioned"],
                own_triggers=rows[0]["own_triggers"],
                secured=rows[0]["secured"],
            )
            for name, rows in tables.items()
        }
    )


def _column(row: Row) -> Column:
    return Column(
        physical=row["name"],
        type=row["type"],
        nullable=row["nullable"],
        default=None if row["generated"] else row["expression"],
        generated=row["generated"],
        expression=row["expression"] if row["computed"] else None,
        sequence=row["sequence"],
        always=row["always"],
    )


async def _indexes(target: Target) -> tuple[dict[str, list[Index]], dict[str, tuple[str, ...]]]:
    indexes: dict[str, list[Index]] = {}
    keys: dict[str, tuple[str, ...]] = {}
    for row in await target.rows(INDEXES):
        if row["is_primary"]:
            keys[row["base"]] = tuple(row["columns"])
            continue
        index = Index(
            name=row["name"],
            definition=row["definition"],
            unique=row["is_unique"],
            constraint=row["is_constraint"],
        )
        indexes.setdefault(row["base"], []).append(index)
    return indexes, keys


async def views(target: Target, version: str) -> dict[str, tuple[str, ...]]:
    """Return the columns of each view of a version, in order."""
    rows = await target.rows(VIEWS, schema_of(version, target.space))
    return {row["name"]: tuple(row["columns"]) for row in rows}


async def sessions(target: Target) -> list[Session]:
    """Return who is connected, without ourselves."""
    return [Session(**row) for row in await target.rows(SESSIONS)]


async def pins(target: Target) -> dict[str, str]:
    """Return the settings under which mappings are computed: those of our own session."""
    found = {row["name"]: row["setting"] for row in await target.rows(PINNED)}
    return {"search_path": target.path, **found}


async def grants(target: Target) -> dict[str, tuple[tuple[str, tuple[str, ...]], ...]]:
    """Return who may do what with which table, besides its owner."""
    found: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
    for row in await target.rows(GRANTS):
        found.setdefault(row["base"], []).append((row["role"], tuple(row["rights"])))
    return {base: tuple(each) for base, each in found.items()}
