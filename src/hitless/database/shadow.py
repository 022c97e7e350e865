"""`shadow_table`: a new table of another shape beside the old one, compiled to pieces. Pure."""

from dataclasses import replace

from hitless.database import operations as m
from hitless.database.catalogue import Column, Constraint, Table
from hitless.database.constraints import column_definition, foreign_key, table_constraint, words_of
from hitless.database.names import MARK, fitted, listed, literal, quoted, temporary
from hitless.database.pieces import Fill, Pieces, Shadow
from hitless.database.retyping import counting_text, kind, plain, with_old_keys
from hitless.kit.errors import Refused


def compile_shadow(change: m.ShadowTable, pieces: Pieces) -> Pieces:
    """Add one shadow table. Raises Refused where rows of both sides could not find each other."""
    old = pieces.new.table(change.table)
    fit(change.table, old, pieces)
    wrong = [each for each in change.down if each not in old.columns]
    wrong += [each for each in change.up if each not in {column.name for column in change.columns}]
    if wrong:
        raise Refused("no-such-column", f"{change.table}: no column {wrong[0]!r} on that side", "look at up and down")
    physical = temporary(old.physical)
    keys = tuple(each.name for each in change.columns if each.pk)
    keys = keys or next((each.columns for each in change.constraints if each.type == "primary_key"), ())
    columns = {each.name: Column(physical=each.name, type=each.type, nullable=each.nullable) for each in change.columns}
    new = Table(physical=physical, columns=columns, key=keys)
    ups, downs, held = with_old_keys(change, old, _ups(change, old, physical), _downs(change, old))
    link = _link(change, old, ups, downs, keys)
    shadow = Shadow(
        old=old.physical,
        new=physical,
        key=old.key,
        new_key=keys,
        link=link,
        ups=ups,
        downs=downs,
        shape="one" if change.rows == "one" else "merge" if change.merge_on else "split",
        split_by=change.split_by,
        held=held,
        loose=change.rows == "one" and not _parted_by(change) <= {each for _, each in link},
        own_triggers=old.own_triggers,
    )
    pieces = replace(pieces, new=pieces.new.with_table(change.table, new))
    pieces = pieces.plus(shadows=(shadow,), destroys=(f"table {change.table} in its old shape",))
    pieces = _made(change, pieces, shadow, old)
    kept = {each.column for each in held}
    pointed = {one: other for one, other in link if other not in kept}
    return inbound(pieces, shadow, old, {} if shadow.shape == "split" or shadow.loose else pointed)


def _parted_by(change: m.ShadowTable) -> frozenset[str]:
    """Return the columns that a partitioned table is parted by: PostgreSQL wants them in every unique index."""
    return words_of(change.partition_by or "") & {each.name for each in change.columns}


def fit(name: str, old: Table, pieces: Pieces) -> None:
    """Raise Refused for a table that cannot have a shadow."""
    touched = {fill.table for fill in pieces.fills} | {each.old for each in pieces.shadows}
    if old.physical in touched or old.physical in pieces.created or old.physical.startswith("_hitless_"):
        raise Refused("changed-twice", f"{name} changes twice in one change", "put one into a change of its own")
    if not old.key:
        raise Refused("no-key", f"{name} has no primary key: its rows cannot be told apart", "give it one first")
    if old.secured:
        raise Refused(
            "row-security", f"{name} has row level security", "a new table cannot take policies over; use columns"
        )


def _ups(change: m.ShadowTable, old: Table, physical: str) -> tuple[Fill, ...]:
    row = {name: column.physical for name, column in old.columns.items()}
    fills = []
    for each in change.columns:
        expression = change.up.get(each.name) or (quoted(each.name) if each.name in row else None)
        if expression is None and not (each.nullable or each.default is not None or each.generated):
            raise Refused("up-missing", f"{change.table}.{each.name} must not be NULL, and has no `up`", "add it to up")
        if expression is not None and not (each.generated and each.generated.expression):
            fills.append(
                Fill(
                    table=physical,
                    column=each.name,
                    expression=expression,
                    row=row,
                    alias=change.table,
                    upward=True,
                    type=each.type,
                    unmappable=change.on_unmappable,
                )
            )
    return tuple(fills)


def _downs(change: m.ShadowTable, old: Table) -> tuple[Fill, ...]:
    row = {each.name: each.name for each in change.columns}
    fills = []
    for name, column in old.columns.items():
        expression = change.down.get(name) or (quoted(name) if name in row else None)
        if column.expression is not None:
            continue
        if expression is None and not (column.nullable or column.default or column.generated):
            raise Refused(
                "down-missing", f"{change.table}.{name} must not be NULL and has no default", "say in down what it gets"
            )
        if expression is not None:
            fills.append(
                Fill(
                    table=old.physical,
                    column=column.physical,
                    expression=expression,
                    row=row,
                    alias=change.table,
                    upward=False,
                    type=column.type,
                    unmappable=change.on_unmappable,
                )
            )
    return tuple(fills)


def _link(
    change: m.ShadowTable, old: Table, ups: tuple[Fill, ...], downs: tuple[Fill, ...], keys: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    if change.rows == "one" and (change.split_by or change.merge_on):
        raise Refused("rows-one", f"{change.table}: split_by and merge_on need `rows: many`", "add rows: many")
    if change.rows == "many" and not (change.split_by or change.merge_on):
        raise Refused(
            "rows-many", f"{change.table}: `rows: many` needs split_by or merge_on", "say how rows go together"
        )
    if not keys:
        raise Refused("no-key", f"the new {change.table} has no primary key", "mark a column with pk: true")
    if change.merge_on:
        merged = {each.column: plain(each) for each in ups if each.column in keys}
        if set(merged.values()) != {old.column(each, change.table).physical for each in change.merge_on}:
            raise Refused(
                "link-missing",
                f"the key of the new {change.table} is not made of merge_on",
                "take these columns as key",
            )
        return tuple((str(merged[each]), each) for each in keys)
    linked = {each.column: plain(each) for each in downs}
    missing = [each for each in old.key if linked.get(each) is None]
    if missing:
        raise Refused(
            "link-missing",
            f"no column of the new {change.table} holds the old key column {missing[0]!r}: rows cannot find each other",
            f"keep it in a column, and name that one: down: {{{missing[0]}: THE_COLUMN}}",
        )
    unsaid = [each for each in keys if each not in {fill.column for fill in ups}]
    if change.rows == "many" and unsaid:
        raise Refused(
            "link-missing",
            f"up does not say the key column {unsaid[0]!r} of the new {change.table}: its rows cannot be told apart",
            "make the key of the old key and `place`",
        )
    return tuple((each, str(linked[each])) for each in old.key)


def _made(change: m.ShadowTable, pieces: Pieces, shadow: Shadow, old: Table) -> Pieces:
    """Write how the table is made, and how it takes the place of the old one."""
    base, names = quoted(shadow.new), {each.name: each.name for each in change.columns}
    bare = [each.model_copy(update={"references": None}) for each in change.columns]
    taken = {new: old.columns[each].sequence for each, new in shadow.link if each in old.columns}
    texts = {each.name: counting_text(each, old, shadow.ups) for each in change.columns}
    taken |= {name: each for name, each in texts.items() if each and name not in taken}
    bare = [each.model_copy(update=_counted(each, taken.get(each.name))) for each in bare]
    body = [column_definition(each, pieces.new) for each in bare]
    body += [f"{quoted(each.column)} {each.type} NOT NULL" for each in shadow.held]
    body += [f"PRIMARY KEY ({listed(shadow.new_key)})"] if any(each.pk for each in change.columns) else []
    body += [table_constraint(each, names, pieces.new) for each in change.constraints if each.type != "foreign_key"]
    parts = f" PARTITION BY {change.partition_by}" if change.partition_by else ""
    statements = [f"CREATE TABLE {base} ({', '.join([*body, f'{quoted(MARK)} bigint'])}){parts}"]
    statements += [
        f"CREATE TABLE {quoted(name)} PARTITION OF {base} {what}" for name, what in change.partitions.items()
    ]
    link = tuple(new for _, new in shadow.link)
    if set(link) != set(shadow.new_key) and shadow.shape != "merge":
        unique = "UNIQUE " if shadow.shape == "one" and not shadow.loose else ""
        name = fitted(f"_hitless_link_{old.physical}")
        statements.append(f"CREATE {unique}INDEX {quoted(name)} ON {base} ({listed(link)})")
    pieces = pieces.plus(expand=tuple(statements), rollback=(f"DROP TABLE IF EXISTS {base}",))
    pieces = _settable(pieces, shadow, old)
    pieces = _keys(change, pieces, shadow)
    counters = tuple(
        takeover(each, str(taken[each.name]), shadow.new) for each in change.columns if taken.get(each.name)
    )
    final = tuple(
        f"COMMENT ON COLUMN {base}.{quoted(each.name)} IS {literal(each.comment)}"
        for each in change.columns
        if each.comment
    )
    return swapped(pieces, shadow, change.table, (*counters, *final))


def swapped(pieces: Pieces, shadow: Shadow, name: str, more: tuple[str, ...]) -> Pieces:
    """Write how the new table takes the place of the old one; the user's triggers come along."""
    kept = quoted(fitted(f"_hitless_triggers_{name}"))  # a change may give several tables another shape
    triggers = (
        f"CREATE TEMP TABLE {kept} ON COMMIT DROP AS SELECT pg_get_triggerdef(oid) AS made FROM pg_trigger "  # noqa: S608
        f"WHERE tgrelid = {literal(quoted(shadow.old))}::regclass AND NOT tgisinternal AND tgname !~ 'hitless_'"
    )
    gone = f"DROP TABLE {quoted(shadow.old)}"
    link = fitted(f"{name}_{'_'.join(new for _, new in shadow.link)}_key")
    names = _FINAL_NAMES.replace("KEPT", kept).replace("TABLE_NAME", literal(quoted(name)))
    names = names.replace("LINK_NAME", literal(link))
    ours = (MARK, *(each.column for each in shadow.held))
    unmarked = f"ALTER TABLE {quoted(shadow.new)} " + ", ".join(f"DROP COLUMN {quoted(each)}" for each in ours)
    return pieces.plus(contract=(unmarked, *more, triggers, gone), last=(names, f"DROP TABLE {kept}"))


# Indexes of the new table lose our prefix; that by which rows found each other goes, unless a foreign key needs it now.
_FINAL_NAMES = """DO $$ DECLARE each record; BEGIN
FOR each IN SELECT i.oid::regclass AS name, i.relname FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
  WHERE x.indrelid = TABLE_NAME::regclass AND i.relname LIKE '\\_hitless\\_%' LOOP
  IF each.relname LIKE '\\_hitless\\_link\\_%' THEN
    IF NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = each.name) THEN
      EXECUTE format('DROP INDEX %s', each.name);
    ELSIF to_regclass(quote_ident(LINK_NAME)) IS NULL THEN
      EXECUTE format('ALTER INDEX %s RENAME TO %I', each.name, LINK_NAME);
    END IF;
  ELSIF to_regclass(quote_ident(substr(each.relname, 10))) IS NULL THEN
    EXECUTE format('ALTER INDEX %s RENAME TO %I', each.name, substr(each.relname, 10));
  END IF;
END LOOP;
FOR each IN SELECT conname FROM pg_constraint
  WHERE conrelid = TABLE_NAME::regclass AND conname LIKE '\\_hitless\\_%' LOOP
  EXECUTE format('ALTER TABLE %s RENAME CONSTRAINT %I TO %I',
                 TABLE_NAME::regclass, each.conname, substr(each.conname, 10));
END LOOP;
FOR each IN SELECT made FROM KEPT LOOP EXECUTE each.made; END LOOP;
END $$"""


def _counted(column: m.ColumnModel, sequence: str | None) -> dict[str, object]:
    """Both sides count with the old sequence until contract."""
    if sequence is None:
        return {}
    kept = column.generated if column.generated and column.generated.expression else None
    text = "::text" if kind(column.type) == "text" else ""
    return {"default": column.default or f"nextval({literal(sequence)}){text}", "generated": kept}


def _settable(pieces: Pieces, shadow: Shadow, old: Table) -> Pieces:
    """Let triggers write identity columns of the old table: PostgreSQL forbids it even where the value stays."""
    written, base = {each.column for each in shadow.downs}, quoted(old.physical)
    for each in old.columns.values():
        if each.always and each.physical in written:
            alter = f"ALTER TABLE {base} ALTER {quoted(each.physical)} SET GENERATED"
            pieces = pieces.plus(expand=(f"{alter} BY DEFAULT",), rollback=(f"{alter} ALWAYS",))
    return pieces


def takeover(column: m.ColumnModel, sequence: str, table: str) -> str:
    """Write how a column takes over a sequence: owned like a serial's, or counted on as an identity."""
    base, name = quoted(table), quoted(column.name)
    always = column.generated.identity if column.generated else None
    kind = always.user_specified_values if always else "BY DEFAULT"
    wanted = "true" if always else "false"
    return (
        f"DO $$ DECLARE at record; BEGIN IF {wanted} OR EXISTS (SELECT 1 FROM pg_depend WHERE deptype = 'i' AND "  # noqa: S608
        f"classid = 'pg_class'::regclass AND objid = {literal(sequence)}::regclass "
        f"AND refclassid = 'pg_class'::regclass) THEN SELECT last_value, is_called INTO at FROM {sequence}; "
        f"ALTER TABLE {base} ALTER {name} DROP DEFAULT; "
        f"ALTER TABLE {base} ALTER {name} ADD GENERATED {kind} AS IDENTITY; "
        f"PERFORM setval(pg_get_serial_sequence({literal(base)}, {literal(column.name)}), at.last_value, at.is_called);"
        " "
        f"ELSE ALTER SEQUENCE {sequence} OWNED BY {base}.{name}; "
        f"EXECUTE format('ALTER SEQUENCE {sequence} AS %s', (SELECT CASE atttypid WHEN 'int4'::regtype THEN 'integer' "
        f"WHEN 'int2'::regtype THEN 'smallint' ELSE 'bigint' END FROM pg_attribute "
        f"WHERE attrelid = {literal(base)}::regclass AND attname = {literal(column.name)})); END IF; END $$"
    )


def _keys(change: m.ShadowTable, pieces: Pieces, shadow: Shadow) -> Pieces:
    """Foreign keys come when the table is full: until then the old one holds them."""
    wanted = [each for each in change.constraints if each.type == "foreign_key"]
    wanted += [
        m.ConstraintModel(
            name=each.references.name or fitted(f"{change.table}_{each.name}_fkey"),
            type="foreign_key",
            columns=(each.name,),
            references=each.references,
        )
        for each in change.columns
        if each.references is not None
    ]
    names = {each.name: each.name for each in change.columns}
    for each in wanted:
        definition = table_constraint(each, names, pieces.new)
        pieces = pieces.plus(**foreign_key(quoted(shadow.new), each.name, definition))
    return pieces


def inbound(pieces: Pieces, shadow: Shadow, old: Table, to_new: dict[str, str]) -> Pieces:
    """Point foreign keys of other tables at the new one. Raises Refused where they cannot."""
    for table in pieces.old.tables.values():
        for each in table.constraints:
            if each.kind != "f" or each.target != old.physical or table.physical == old.physical:
                continue
            if each.name in pieces.left_out:
                continue
            if not set(each.target_columns) <= set(to_new):
                raise Refused(
                    "depends",
                    f"{each.name} of {table.physical} points to {old.physical}, and would point to nothing",
                    "drop it in the same change (drop_multicolumn_constraint), before shadow_table",
                )
            pieces = _pointed(pieces, table, each, shadow, to_new)
    return pieces


def _pointed(pieces: Pieces, table: Table, key: Constraint, shadow: Shadow, to_new: dict[str, str]) -> Pieces:
    copy = fitted(f"_hitless_{key.name}")
    own, _, rest = key.definition.partition(" REFERENCES ")
    _, _, end = rest.partition(")")
    target = f"{quoted(shadow.new)} ({listed(tuple(to_new[each] for each in key.target_columns))})"
    definition = f"CONSTRAINT {quoted(copy)} {own} REFERENCES {target}{end.removesuffix(' NOT VALID')}"
    base = quoted(table.physical)
    pieces = pieces.plus(**foreign_key(base, copy, definition))
    return pieces.plus(
        rollback=(f"ALTER TABLE {base} DROP CONSTRAINT IF EXISTS {quoted(copy)}",),
        prepare=(f"ALTER TABLE {base} DROP CONSTRAINT {quoted(key.name)}",),
        contract=(f"ALTER TABLE {base} RENAME CONSTRAINT {quoted(copy)} TO {quoted(key.name)}",),
    )
