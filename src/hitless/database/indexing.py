"""Indexes and constraints of the new side: built beside running writes, checked later. Pure."""

from hitless.database import operations as m
from hitless.database.constraints import substituted, table_constraint, words_of
from hitless.database.names import fitted, listed, quoted
from hitless.database.pieces import Build, Pieces
from hitless.database.reshape import with_exclusion
from hitless.kit.errors import Refused


def index(change: m.CreateIndex | m.DropIndex, pieces: Pieces) -> Pieces:
    """Compile create_index and drop_index."""
    if isinstance(change, m.DropIndex):
        known = {each.name for table in pieces.old.tables.values() for each in table.indexes}
        if known and change.name not in known | {build.name for build in pieces.builds}:
            raise Refused(
                "no-such-index", f"there is no index {change.name!r}", f"there are {', '.join(sorted(known))}"
            )
        return pieces.plus(contract=(f"DROP INDEX {quoted(change.name)}",), left_out=(change.name,))
    table = pieces.new.table(change.table)
    if change.name in {each.name for other in pieces.old.tables.values() for each in other.indexes}:
        raise Refused("name-taken", f"there is an index {change.name!r} already", "choose another name")
    parts = []
    for each in change.columns:
        words = [quoted(table.column(each.column, change.table).physical)]
        words += [f"COLLATE {quoted(each.collate)}"] if each.collate else []
        if each.opclass:
            words.append(each.opclass.name + (f" ({', '.join(each.opclass.params)})" if each.opclass.params else ""))
        words += [each.sort or "", f"NULLS {each.nulls}" if each.nulls else ""]
        parts.append(" ".join(word for word in words if word))
    unique = "UNIQUE " if change.unique else ""
    where = f"ON {quoted(table.physical)} USING {change.method} ({', '.join(parts)})"
    storage = f" WITH ({change.storage_parameters})" if change.storage_parameters else ""
    predicate = f" WHERE {change.predicate}" if change.predicate else ""
    create = f"CREATE {unique}INDEX CONCURRENTLY {quoted(change.name)} {where}{storage}{predicate}"
    build = Build(name=change.name, table=table.physical, sql=create, partitioned=table.partitioned)
    return pieces.plus(builds=(build,))


def constrain(pieces: Pieces, name: str, wanted: m.ConstraintModel) -> Pieces:
    """Add a constraint to the new side: whole on a table that this change makes, else checked later."""
    table = pieces.new.table(name)
    base = quoted(table.physical)
    physical = {logical: column.physical for logical, column in table.columns.items()}
    for each in wanted.columns:
        table.column(each, name)
    definition = table_constraint(wanted, physical, pieces.new)
    drop = f"ALTER TABLE {base} DROP CONSTRAINT IF EXISTS {quoted(wanted.name)}"
    pieces = pieces.plus(constraints=((table.physical, wanted.name),))
    if table.physical in pieces.created:
        return pieces.plus(expand=(f"ALTER TABLE {base} ADD {definition}",))
    match wanted.type:
        case "check" | "foreign_key":
            check = f"ALTER TABLE {base} VALIDATE CONSTRAINT {quoted(wanted.name)}"
            guard = f"ALTER TABLE {base} ADD {definition} NOT VALID"
            if wanted.check is not None:
                condition = substituted(wanted.check, physical)
                read = tuple(each for each in physical.values() if each in words_of(condition))
                pieces = pieces.plus(checks=((table.physical, read, f"({condition})"),))
            return pieces.plus(guards=(guard,), validate=(check,), rollback=(drop,))
        case "unique" | "primary_key":
            return _unique(pieces, name, wanted, physical)
        case "exclude":
            made = with_exclusion(pieces, name, wanted)
            return made.plus(constraints=((made.new.table(name).physical, wanted.name),))


def _unique(pieces: Pieces, name: str, wanted: m.ConstraintModel, physical: dict[str, str]) -> Pieces:
    """Build its index first; the constraint takes it over at contract."""
    table = pieces.new.table(name)
    base, made = quoted(table.physical), fitted(f"_hitless_{wanted.name}")
    columns = listed(tuple(physical[each] for each in wanted.columns))
    nulls = " NULLS NOT DISTINCT" if wanted.nulls_not_distinct else ""
    parameters = wanted.index_parameters
    include = f" INCLUDE ({listed(parameters.include_columns)})" if parameters and parameters.include_columns else ""
    storage = f" WITH ({parameters.storage_parameters})" if parameters and parameters.storage_parameters else ""
    space = f" TABLESPACE {quoted(parameters.tablespace)}" if parameters and parameters.tablespace else ""
    build = f"CREATE UNIQUE INDEX CONCURRENTLY {quoted(made)} ON {base} ({columns}){include}{nulls}{storage}{space}"
    kind = "UNIQUE" if wanted.type == "unique" else "PRIMARY KEY"
    later = " DEFERRABLE" if wanted.deferrable else ""
    later += " INITIALLY DEFERRED" if wanted.initially_deferred else ""
    add = f"ALTER TABLE {base} ADD CONSTRAINT {quoted(wanted.name)} {kind} USING INDEX {quoted(made)}{later}"
    if wanted.type == "primary_key":
        for each in wanted.columns:
            column = table.columns[each]
            if column.nullable and not column.physical.startswith("_hitless_"):
                pieces = not_null(pieces, table.physical, column.physical)
    if not table.partitioned:
        return pieces.plus(builds=(Build(name=made, table=table.physical, sql=build),), contract=(add,))
    whole = (
        f"ALTER TABLE {base} ADD CONSTRAINT {quoted(wanted.name)} {kind}{nulls} ({columns}){include}{storage}{later}"
    )
    strict = tuple(f"ALTER TABLE {base} ALTER {quoted(physical[each])} SET NOT NULL" for each in wanted.columns)
    parts = Build(
        name=made,
        table=table.physical,
        sql=build,
        partitioned=True,
        constraint=whole,
        kind=kind,
        deferrable=later,
        first=strict if wanted.type == "primary_key" else (),
    )
    return pieces.plus(builds=(parts,))


def not_null(pieces: Pieces, base: str, column: str) -> Pieces:
    """Forbid NULL in a column: proved beside running writes, so that contract need not read the table under a lock."""
    name, table = fitted(f"_hitless_{column}_not_null"), quoted(base)
    return pieces.plus(
        required=((base, column),),
        guards=(f"ALTER TABLE {table} ADD CONSTRAINT {quoted(name)} CHECK ({quoted(column)} IS NOT NULL) NOT VALID",),
        validate=(f"ALTER TABLE {table} VALIDATE CONSTRAINT {quoted(name)}",),
        contract=(
            f"ALTER TABLE {table} ALTER {quoted(column)} SET NOT NULL",
            f"ALTER TABLE {table} DROP CONSTRAINT {quoted(name)}",
        ),
        rollback=(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {quoted(name)}",),
    )


def column_rules(
    pieces: Pieces, table: str, column: str, check: m.NamedCheck | None, references: m.Reference | None
) -> Pieces:
    """Add what a column says of itself: a check, a foreign key."""
    if check is not None:
        wanted = m.ConstraintModel(
            name=check.name, type="check", columns=(column,), check=check.constraint, no_inherit=check.no_inherit
        )
        pieces = constrain(pieces, table, wanted)
    if references is not None:
        name = references.name or fitted(f"{table}_{column}_fkey")
        key = m.ConstraintModel(name=name, type="foreign_key", columns=(column,), references=references)
        pieces = constrain(pieces, table, key)
    return pieces
