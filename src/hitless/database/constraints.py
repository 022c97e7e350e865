"""Columns and constraints in SQL, and copies of them for columns that get a stand-in. Pure."""

import re
from collections.abc import Mapping
from dataclasses import replace

from hitless.database import operations as m
from hitless.database.catalogue import Catalogue, Index, Table
from hitless.database.names import fitted, listed, literal, quoted
from hitless.database.pieces import Build, Pieces
from hitless.kit.errors import Refused

_LATER = re.compile(r" DEFERRABLE( INITIALLY DEFERRED)?$")
_TOKEN = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|[A-Za-z_][A-Za-z0-9_$]*")


def column_definition(column: m.ColumnModel, catalogue: Catalogue) -> str:
    """Write a column as CREATE TABLE and ADD COLUMN want it; the primary key is written apart."""
    words = [quoted(column.name), column.type]
    words += ["NOT NULL"] if not column.nullable else []
    words += [f"DEFAULT {column.default}"] if column.default is not None else []
    if column.generated is not None:
        words.append(_generated(column.generated))
    words += ["UNIQUE"] if column.unique else []
    if column.check is not None:
        words.append(f"CONSTRAINT {quoted(column.check.name)} CHECK ({column.check.constraint})")
    if column.references is not None:
        words += [f"CONSTRAINT {quoted(column.references.name)}"] if column.references.name else []
        words.append(references(column.references, catalogue))
    return " ".join(words)


def _generated(generated: m.Generated) -> str:
    if generated.identity is None:
        return f"GENERATED ALWAYS AS ({generated.expression}) {'VIRTUAL' if generated.virtual else 'STORED'}"
    options = f" ({generated.identity.sequence_options})" if generated.identity.sequence_options else ""
    return f"GENERATED {generated.identity.user_specified_values} AS IDENTITY{options}"


def references(reference: m.Reference, catalogue: Catalogue) -> str:
    """Write where a foreign key points, in base tables."""
    table = catalogue.tables.get(reference.table)
    base = table.physical if table else reference.table  # its own table, while it is being made
    names = reference.columns or ((reference.column,) if reference.column else ())
    columns = tuple(table.column(each, reference.table).physical if table else each for each in names)
    words = [f"REFERENCES {quoted(base)}" + (f" ({listed(columns)})" if columns else "")]
    words.append(f"MATCH {reference.match_type} ON DELETE {reference.on_delete}")
    words += [f"({listed(reference.on_delete_set_columns)})"] if reference.on_delete_set_columns else []
    words.append(f"ON UPDATE {reference.on_update}")
    return " ".join([*words, *_deferrable(reference)])


def foreign_key(base: str, name: str, definition: str) -> dict[str, tuple[str, ...]]:
    """Return the pieces of a foreign key that comes once its table is full; safe to run again."""
    fresh = f"ALTER TABLE {base} DROP CONSTRAINT IF EXISTS {quoted(name)}, ADD {definition} NOT VALID"
    return {"late": (fresh,), "validate": (f"ALTER TABLE {base} VALIDATE CONSTRAINT {quoted(name)}",)}


def _deferrable(what: m.Reference | m.ConstraintModel) -> list[str]:
    if not what.deferrable:
        return []
    return ["DEFERRABLE INITIALLY DEFERRED" if what.initially_deferred else "DEFERRABLE"]


def table_constraint(wanted: m.ConstraintModel, physical: Mapping[str, str], catalogue: Catalogue) -> str:
    """Write a constraint over base columns. Raises Refused where it lacks what its type needs."""
    start = f"CONSTRAINT {quoted(wanted.name)}"
    columns = listed(tuple(physical.get(each, each) for each in wanted.columns))
    end = " ".join(_deferrable(wanted))
    match wanted.type:
        case "check" if wanted.check is not None:
            return f"{start} CHECK ({substituted(wanted.check, physical)})" + " NO INHERIT" * wanted.no_inherit
        case "unique" | "primary_key":
            kind = "PRIMARY KEY" if wanted.type == "primary_key" else "UNIQUE"
            kind += " NULLS NOT DISTINCT" if wanted.nulls_not_distinct else ""
            return f"{start} {kind} ({columns}){_parameters(wanted.index_parameters)} {end}".rstrip()
        case "foreign_key" if wanted.references is not None:
            return f"{start} FOREIGN KEY ({columns}) {references(wanted.references, catalogue)}"
        case "exclude" if wanted.exclude is not None:
            predicate = f" WHERE ({wanted.exclude.predicate})" if wanted.exclude.predicate else ""
            return f"{start} EXCLUDE USING {wanted.exclude.index_method} ({wanted.exclude.elements}){predicate} {end}"
        case _:
            raise Refused("constraint-incomplete", f"{wanted.name} lacks what a {wanted.type} needs", "see its fields")


def _parameters(parameters: m.IndexParameters | None) -> str:
    if parameters is None:
        return ""
    include = f" INCLUDE ({listed(parameters.include_columns)})" if parameters.include_columns else ""
    storage = f" WITH ({parameters.storage_parameters})" if parameters.storage_parameters else ""
    space = f" USING INDEX TABLESPACE {quoted(parameters.tablespace)}" if parameters.tablespace else ""
    return include + storage + space


def substituted(expression: str, names: Mapping[str, str]) -> str:
    """Put other column names into an expression; texts in quotes stay as they are."""

    def other(found: re.Match[str]) -> str:
        token = found[0]
        name = token[1:-1].replace('""', '"') if token.startswith('"') else token
        known = not token.startswith("'") and names.get(name, name) != name
        return quoted(names[name]) if known else token

    return _TOKEN.sub(other, expression)


def put_in(expression: str, name: str, sql: str) -> str:
    """Put other SQL in the place of a column; texts in quotes stay as they are."""
    return put_all_in(expression, {name: sql})


def put_all_in(expression: str, sql: Mapping[str, str]) -> str:
    """Put other SQL in the place of several columns at once: nothing is looked for in what was put in."""

    def other(found: re.Match[str]) -> str:
        token = found[0]
        plain = token[1:-1].replace('""', '"') if token.startswith('"') else token
        return sql.get(plain, token if token.startswith('"') else sql.get(token.lower(), token))

    return _TOKEN.sub(other, expression)


def words_of(expression: str) -> frozenset[str]:
    """Return all names in an expression: what it may read."""
    return frozenset(token.strip('"').replace('""', '"') for token in _TOKEN.findall(expression) if token[0] != "'")


def with_copies(pieces: Pieces) -> Pieces:
    """Give stand-ins the indexes and constraints of the columns that they replace; the last step of compiling."""
    for table in tuple(pieces.old.tables.values()):
        names = pieces.replaced.get(table.physical, {})
        if names:
            pieces = _copied_constraints(_copied_indexes(pieces, table, names), table, names)
    return pieces


def _copied_indexes(pieces: Pieces, table: Table, names: Mapping[str, str]) -> Pieces:
    base = quoted(table.physical)
    for index in table.indexes:
        rest = index.definition.partition(" USING ")[2]  # behind it: method, columns or expressions, predicate
        if index.name in pieces.left_out or not words_of(rest) & set(names):
            continue
        copy = fitted(f"_hitless_{index.name}")
        unique = "UNIQUE " if index.unique else ""
        create = f"CREATE {unique}INDEX CONCURRENTLY {quoted(copy)} ON {base} USING {substituted(rest, names)}"
        build = Build(name=copy, table=table.physical, sql=create, partitioned=table.partitioned)
        take = f"ALTER INDEX {quoted(copy)} RENAME TO {quoted(index.name)}"
        if index.constraint:
            build, take = _unique_again(build, table, index, names)
        pieces = pieces.plus(builds=(build,), contract=(take,))
    return pieces


def _unique_again(build: Build, table: Table, index: Index, names: Mapping[str, str]) -> tuple[Build, str]:
    """Make a unique constraint of what was built; a partitioned table has it by another name until the old one goes."""
    base, name, copy = quoted(table.physical), quoted(index.name), quoted(build.name)
    whole = next(each.definition for each in table.constraints if each.name == index.name)
    later = _LATER.search(whole)
    deferrable = later[0] if later is not None else ""
    if not table.partitioned:
        return build, f"ALTER TABLE {base} ADD CONSTRAINT {name} UNIQUE USING INDEX {copy}{deferrable}"
    whole = f"ALTER TABLE {base} ADD CONSTRAINT {copy} {substituted(whole, names)}"
    parts = _NAMES_OF_PARTS.replace("TABLE_NAME", literal(base))
    rename = f"ALTER TABLE {base} RENAME CONSTRAINT {copy} TO {name}; {parts}"
    return replace(build, constraint=whole, deferrable=deferrable), rename


# what PostgreSQL calls after a stand-in in partitions that have partitions themselves
_NAMES_OF_PARTS = """DO $$ DECLARE each record; wanted name; BEGIN
FOR each IN SELECT k.conrelid::regclass AS part, k.conname FROM pg_partition_tree(TABLE_NAME) t
  JOIN pg_constraint k ON k.conrelid = t.relid WHERE t.level > 0 AND k.contype = 'u' AND k.conname ~ '_hitless_' LOOP
  wanted := replace(each.conname, '_hitless_', '');
  IF to_regclass(quote_ident(wanted)) IS NULL THEN
    EXECUTE format('ALTER TABLE %s RENAME CONSTRAINT %I TO %I', each.part, each.conname, wanted);
  END IF;
END LOOP; END $$"""


def _copied_constraints(pieces: Pieces, table: Table, names: Mapping[str, str]) -> Pieces:
    base = quoted(table.physical)
    for constraint in table.constraints:
        touched = set(constraint.columns) & set(names)
        if constraint.name in pieces.left_out or not touched or constraint.kind not in "cf":
            continue
        copy = fitted(f"_hitless_{constraint.name}")
        own, rest = constraint.definition, ""
        if constraint.kind == "f":  # what follows REFERENCES are names of another table
            own, _, rest = constraint.definition.partition(" REFERENCES ")
            rest = f" REFERENCES {rest}"
        definition = (substituted(own, names) + rest).removesuffix(" NOT VALID")
        pieces = pieces.plus(
            guards=(f"ALTER TABLE {base} ADD CONSTRAINT {quoted(copy)} {definition} NOT VALID",),
            validate=(f"ALTER TABLE {base} VALIDATE CONSTRAINT {quoted(copy)}",),
            contract=(f"ALTER TABLE {base} RENAME CONSTRAINT {quoted(copy)} TO {quoted(constraint.name)}",),
        )
    return pieces


def without_left_out(pieces: Pieces) -> Pieces:
    """Forget constraints that were dropped, in the new catalogue."""
    tables = {
        name: replace(table, constraints=tuple(c for c in table.constraints if c.name not in pieces.left_out))
        for name, table in pieces.new.tables.items()
    }
    return replace(pieces, new=Catalogue(tables=tables))
