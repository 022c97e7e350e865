"""What PostgreSQL can only do by writing a table anew under a lock: done in a shadow table of the same shape. Pure."""

from dataclasses import replace

from hitless.database import operations as m
from hitless.database.catalogue import Column, Table
from hitless.database.constraints import foreign_key, table_constraint
from hitless.database.names import MARK, fitted, quoted, temporary
from hitless.database.pieces import Build, Fill, Pieces, Shadow
from hitless.database.shadow import fit, inbound, swapped, takeover

_LIKE = "INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED INCLUDING COMMENTS INCLUDING STORAGE"


def with_generated(change: m.AddColumn, pieces: Pieces) -> Pieces:
    """Add a stored generated column."""
    new = change.column
    expression = new.generated.expression if new.generated else ""
    column = Column(physical=new.name, type=new.type, nullable=True, generated=True, expression=expression)
    words = (
        f"{quoted(new.name)} {new.type} GENERATED ALWAYS AS ({expression}) STORED{'' if new.nullable else ' NOT NULL'}"
    )
    return _reshaped(pieces, change.table, {new.name: column}, f"ADD COLUMN {words}")


def with_exclusion(pieces: Pieces, name: str, wanted: m.ConstraintModel) -> Pieces:
    """Add an exclusion constraint."""
    return _reshaped(pieces, name, {}, f"ADD {table_constraint(wanted, {}, pieces.new)}")


def _reshaped(pieces: Pieces, name: str, more: dict[str, Column], extra: str) -> Pieces:
    """Make a table like the old one with something added; all else is taken over."""
    old = pieces.new.table(name)
    fit(name, old, pieces)
    physical = temporary(old.physical)
    base = quoted(physical)
    columns = [each for each in old.columns.values() if each.expression is None]
    shadow = _same_shape(name, old, physical, columns)
    statements = [
        f"CREATE TABLE {base} (LIKE {quoted(old.physical)} {_LIKE})",
        *(_counting(base, each) for each in columns if each.sequence),
        *_constraints(old, base),
        f"ALTER TABLE {base} {extra}",
        f"ALTER TABLE {base} ADD COLUMN {quoted(MARK)} bigint",
    ]
    table = replace(old, physical=physical, columns={**old.columns, **more}, indexes=(), constraints=())
    pieces = replace(pieces, new=pieces.new.with_table(name, table))
    pieces = pieces.plus(
        expand=tuple(statements), rollback=(f"DROP TABLE IF EXISTS {base}",), shadows=(shadow,), created=(physical,)
    )
    pieces = _foreign_keys(_indexes(pieces, old, physical), old, base)
    pieces = swapped(pieces, shadow, name, _counters(columns, physical))
    return inbound(pieces, shadow, old, {each.physical: each.physical for each in columns})


def _same_shape(name: str, old: Table, physical: str, columns: list[Column]) -> Shadow:
    """Map each column to itself, both ways."""
    ups, downs = (
        tuple(
            Fill(
                table=physical if upward else old.physical,
                column=each.physical,
                expression=quoted(each.physical),
                row={each.physical: each.physical},
                alias=name,
                upward=upward,
                type=each.type,
            )
            for each in columns
        )
        for upward in (True, False)
    )
    link = tuple((each, each) for each in old.key)
    return Shadow(
        old=old.physical,
        new=physical,
        key=old.key,
        new_key=old.key,
        link=link,
        ups=ups,
        downs=downs,
        own_triggers=old.own_triggers,
    )


def _foreign_keys(pieces: Pieces, old: Table, base: str) -> Pieces:
    for each in old.constraints:
        if each.kind == "f" and each.name not in pieces.left_out:
            copy = fitted(f"_hitless_{each.name}")
            definition = f"CONSTRAINT {quoted(copy)} {each.definition.removesuffix(' NOT VALID')}"
            pieces = pieces.plus(**foreign_key(base, copy, definition))
    return pieces


def _counters(columns: list[Column], physical: str) -> tuple[str, ...]:
    return tuple(
        takeover(m.ColumnModel(name=each.physical, type=each.type, generated=_identity(each)), each.sequence, physical)
        for each in columns
        if each.sequence
    )


def _identity(column: Column) -> m.Generated | None:
    return m.Generated(identity=m.Identity(user_specified_values="BY DEFAULT")) if column.generated else None


def _counting(base: str, column: Column) -> str:
    sequence = (column.sequence or "").replace("'", "''")
    return f"ALTER TABLE {base} ALTER {quoted(column.physical)} SET DEFAULT nextval('{sequence}')"


def _constraints(old: Table, base: str) -> list[str]:
    """Write the constraints that own an index, under names that give way at contract."""
    return [
        f"ALTER TABLE {base} ADD CONSTRAINT {quoted(fitted(f'_hitless_{each.name}'))} {each.definition}"
        for each in old.constraints
        if each.kind in ("p", "u", "x")
    ]


def _indexes(pieces: Pieces, old: Table, physical: str) -> Pieces:
    for index in old.indexes:
        if index.constraint or index.name in pieces.left_out:
            continue
        copy = fitted(f"_hitless_{index.name}")
        unique = "UNIQUE " if index.unique else ""
        rest = index.definition.partition(" USING ")[2]
        sql = f"CREATE {unique}INDEX CONCURRENTLY {quoted(copy)} ON {quoted(physical)} USING {rest}"
        pieces = pieces.plus(builds=(Build(name=copy, table=physical, sql=sql),))
    return pieces
