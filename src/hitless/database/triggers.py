"""The triggers that keep both sides of a table in step while two versions write. Pure.

Who writes is read from the row: a column that only one side has, and that changed, tells it. Where the row does not
tell, the schemas in which the session resolves names do (current_schemas, not the text of its search_path). What the
new side writes is mapped down before the user's own triggers run, which know the old columns; what the old side writes,
after.
"""

# ruff: noqa: S608  every name that is put in is quoted; expressions are the user's own SQL

from collections.abc import Iterable, Mapping

from hitless.database.names import FIRST, LAST, MARK, literal, quoted
from hitless.database.pieces import Fill
from hitless.database.sync import Sync, function_name, groups, touching, value

PENDING = 1 << 62  # in the mark, between the two triggers: the new side writes
_MARK = f"NEW.{quoted(MARK)}"
_KINDS = ("INSERT", "UPDATE")


def on() -> str:
    """Return the condition under which triggers fire: the backfill fills itself what it writes."""
    return "current_setting('hitless.sync', true) IS DISTINCT FROM 'off'"


def from_new(schemas: tuple[str, str]) -> str:
    """Write the condition that a session resolves names in the new version before the old one."""
    old, new = (f"coalesce(array_position(current_schemas(false)::text[], {literal(each)}), 9999)" for each in schemas)
    return f"{new} < {old}"


def options(pins: Mapping[str, str]) -> str:
    """Write what a function runs under: mappings mean the same in every session, and see base tables."""
    sets = [f"SET {quoted(name)} = {literal(each)}" for name, each in pins.items() if name != "search_path"]
    return " ".join(["LANGUAGE plpgsql SECURITY DEFINER", f"SET search_path = {pins['search_path']}", *sets])


def install(sync: Sync, version: str, schemas: tuple[str, str], pins: Mapping[str, str]) -> tuple[str, ...]:
    """Write the statements that put the triggers in place; `schemas` are those of the old and the new version."""
    base = quoted(sync.table)
    statements = [f"ALTER TABLE {base} ADD COLUMN {quoted(MARK)} bigint"]
    for kind in _KINDS:
        first = function_name(schemas[1], sync.table, f"first_{kind.lower()}")
        last = function_name(schemas[1], sync.table, f"last_{kind.lower()}")
        bodies = ((first, _first(sync, version, kind)), (last, _last(sync, version, kind)))
        statements += [
            f"CREATE FUNCTION {name}() RETURNS trigger {options(pins)} AS {literal(body)}" for name, body in bodies
        ]
        for side, condition in (("new", from_new(schemas)), ("old", f"NOT ({from_new(schemas)})")):
            statements.append(
                f"CREATE TRIGGER {quoted(f'{FIRST}_{kind.lower()}_{side}')} BEFORE {kind} ON {base} FOR EACH ROW "
                f"WHEN ({on()} AND {condition}) EXECUTE FUNCTION {first}('{side}')"
            )
        statements.append(
            f"CREATE TRIGGER {quoted(f'{LAST}_{kind.lower()}')} BEFORE {kind} ON {base} FOR EACH ROW "
            f"WHEN ({on()}) EXECUTE FUNCTION {last}()"
        )
    return tuple(statements)


def remove(sync: Sync, schemas: tuple[str, str]) -> tuple[str, ...]:
    """Write the statements that take the triggers away."""
    base = quoted(sync.table)
    statements = []
    for kind in ("insert", "update"):
        triggers = (f"{FIRST}_{kind}_new", f"{FIRST}_{kind}_old", f"{LAST}_{kind}")
        statements += [f"DROP TRIGGER IF EXISTS {quoted(each)} ON {base}" for each in triggers]
        for which in ("first", "last"):
            statements.append(f"DROP FUNCTION IF EXISTS {function_name(schemas[1], sync.table, f'{which}_{kind}')}()")
    return (*statements, f"ALTER TABLE {base} DROP COLUMN IF EXISTS {quoted(MARK)}")


def _first(sync: Sync, version: str, kind: str) -> str:
    """Before the user's triggers: who writes; what the new side writes is mapped down."""
    ups, downs = (_told(sync, fills, kind) for fills in (sync.ups, sync.downs))
    lines = [
        "#variable_conflict use_column",
        "DECLARE _hitless_new boolean;",
        *(f"_hitless_{number} boolean;" for number, _ in enumerate(groups(sync))),
        "BEGIN",
        f"_hitless_new := CASE WHEN ({ups}) = ({downs}) THEN TG_ARGV[0] = 'new' ELSE ({ups}) END;",
        f"{_MARK} := {'0' if kind == 'INSERT' else f'coalesce(OLD.{quoted(MARK)}, 0)'};",
        "IF _hitless_new THEN",
        f"{_MARK} := {_MARK} | {PENDING};",
    ]
    if kind == "UPDATE":  # what was touched is noted before a row that the backfill has not reached catches up
        lines += [
            f"_hitless_{number} := {_changed(touching(sync, group))};" for number, group in enumerate(groups(sync))
        ]
    if kind == "UPDATE" and sync.ups:
        lines.append(f"IF OLD.{quoted(MARK)} IS NULL THEN")
        lines += [
            f"IF NOT ({_changed([fill.column])}) THEN NEW.{quoted(fill.column)} := {value(sync, fill, 'OLD')}; END IF;"
            for fill in sync.ups
        ]
        lines.append("END IF;")
    for number, group in enumerate(groups(sync)):
        block = _mapped(sync, version, group, number, kind, upward=False)
        lines += block if kind == "INSERT" else [f"IF _hitless_{number} THEN", *block, "END IF;"]
    return "\n".join([*lines, "END IF;", "RETURN NEW;", "END"])


def _last(sync: Sync, version: str, kind: str) -> str:
    """After the user's triggers: what the old side wrote is mapped up; what the other side cannot hold is listed."""
    lost = sum(2 << (2 * number) for number in range(len(groups(sync))))
    lines = [
        "#variable_conflict use_column",
        f"DECLARE _hitless_new boolean := ({_MARK} & {PENDING}) <> 0; _hitless_why text;",
        "BEGIN",
        f"{_MARK} := {_MARK} & ~{PENDING}::bigint;",
    ]
    for number, group in enumerate(groups(sync)):
        block = _mapped(sync, version, group, number, kind, upward=True)
        downs = [each for each in group if not each.upward]
        again = f"({_MARK} >> {2 * number} & 3) = 1 AND ({_differ(sync, downs)})" if sync.own_triggers else "false"
        when = "NOT _hitless_new"
        if kind == "UPDATE":
            when += f" AND (OLD.{quoted(MARK)} IS NULL OR {_changed(touching(sync, group))})"
            again += f" AND ({_changed(touching(sync, group))})"
        lines += [f"IF ({when}) OR (_hitless_new AND {again}) THEN", *block, "END IF;"]
    key = f"ARRAY[{', '.join(f'NEW.{quoted(each)}::text' for each in sync.key)}]::text[]"
    if kind == "UPDATE":
        old_key = key.replace("NEW.", "OLD.")
        gone = forget(version, sync.table, old_key).removesuffix(";")
        lines.append(f"IF OLD.{quoted(MARK)} & {lost} <> 0 THEN {gone} RETURNING why INTO _hitless_why; END IF;")
    by_new = " OR ".join(f"({_MARK} >> {2 * number} & 3) = 3" for number in range(len(groups(sync))))
    lines.append(f"IF {_MARK} & {lost} <> 0 THEN {list_row(version, sync.table, key, by_new, '_hitless_why')} END IF;")
    lines.append(
        "IF current_setting('hitless.why', true) <> '' THEN PERFORM set_config('hitless.why', '', true); END IF;"
    )
    return "\n".join([*lines, "RETURN NEW;", "END"])


def list_row(version: str, table: str, key: str, new: str, before: str = "NULL", was: str = "NULL") -> str:
    """Write the statement that lists a row which the other side cannot hold.

    `new`: the condition that the new side wrote what it cannot; `before`: what the server said of it when it did;
    `was`: the key under which the other side keeps the row, where that is another one.
    """
    return (
        "INSERT INTO hitless.unmappable (version, base, key, side, why, was) "
        f"VALUES ({literal(version)}, {literal(table)}, {key}, CASE WHEN {new} THEN 'new' ELSE 'old' END, "
        f"coalesce(nullif(current_setting('hitless.why', true), ''), {before}, ''), {was}) "
        "ON CONFLICT (space, version, base, key) DO UPDATE SET side = excluded.side, why = excluded.why, "
        "was = excluded.was, at = clock_timestamp();"
    )


def forget(version: str, table: str, key: str) -> str:
    """Write the statement that takes a row off that list."""
    return (
        "DELETE FROM hitless.unmappable WHERE space = current_schema() AND "
        f"version = {literal(version)} AND base = {literal(table)} AND key = {key};"
    )


def permitted(version: str, fills: Iterable[Fill]) -> str:
    """Write the condition that a row which cannot be mapped is recorded instead of refused."""
    modes = {fill.unmappable for fill in fills}
    if "refuse" in modes:
        return "false"
    if modes == {"record"}:
        return "true"
    return (
        "coalesce((SELECT switched FROM hitless.schema_change "
        f"WHERE space = current_schema() AND version = {literal(version)}), false)"
    )


def _mapped(sync: Sync, version: str, group: list[Fill], number: int, kind: str, *, upward: bool) -> list[str]:
    """Map one group in one direction; a subtransaction catches what cannot be mapped."""
    one, lost = 1 << (2 * number), 2 << (2 * number)
    mark = f"{_MARK} := ({_MARK} & ~{one | lost}::bigint) | {0 if upward else one};"
    fills = [each for each in group if each.upward is upward]
    if not fills:
        return [mark]
    fills = fills if upward else fills[::-1]
    lines = ["BEGIN", *(f"NEW.{quoted(each.column)} := {value(sync, each, 'NEW')};" for each in fills)]
    lines += [_required(each.column, sync.table) for each in fills if each.column in sync.required]
    side, checks = ("new", sync.new_checks) if upward else ("old", sync.checks)
    lines += [_checked(side, *check) for check in checks if {f.column for f in fills} & set(check[0])]
    lines += [
        mark,
        "EXCEPTION WHEN data_exception OR integrity_constraint_violation OR raise_exception THEN",
        f"IF NOT {permitted(version, fills)} THEN RAISE; END IF;",
    ]
    for each in fills:
        kept = [f"OLD.{quoted(each.column)}"] if kind == "UPDATE" else []  # NULL before the backfill has come to it
        kept.append(sync.fillers.get(each.column, "NULL"))
        lines.append(f"NEW.{quoted(each.column)} := coalesce({', '.join(kept)});")
    lines.append(f"{_MARK} := ({_MARK} & ~{one}::bigint) | {lost | (0 if upward else one)};")
    return [*lines, "PERFORM set_config('hitless.why', SQLSTATE || ': ' || SQLERRM, true);", "END;"]


def _required(column: str, table: str) -> str:
    said = f"null value in column {quoted(column)} of relation {quoted(table)} violates not-null constraint"
    return (
        f"IF NEW.{quoted(column)} IS NULL THEN RAISE not_null_violation USING MESSAGE = {literal(said)}, "
        f"COLUMN = {literal(column)}, TABLE = {literal(table)}; END IF;"
    )


def _checked(side: str, columns: tuple[str, ...], check: str) -> str:
    row = ", ".join(f"NEW.{quoted(each)} AS {quoted(each)}" for each in columns)
    said = f"what the {side} side would hold violates its check {check}"
    return (
        f"IF NOT coalesce((SELECT {check} FROM (SELECT {row}) AS _hl_row), true) THEN "
        f"RAISE check_violation USING MESSAGE = {literal(said)}; END IF;"
    )


def _told(sync: Sync, fills: tuple[Fill, ...], kind: str) -> str:
    """Write the condition that one of the columns of a side was written."""
    if kind == "INSERT":
        written = (f"NEW.{quoted(each.column)} IS NOT NULL" for each in fills if each.column in sync.evidence)
        return " OR ".join(written) or "false"
    return _changed([each.column for each in fills])


def _changed(columns: Iterable[str]) -> str:
    return " OR ".join(f"NEW.{quoted(each)} IS DISTINCT FROM OLD.{quoted(each)}" for each in columns) or "false"


def _differ(sync: Sync, fills: list[Fill]) -> str:
    parts = (f"NEW.{quoted(each.column)} IS DISTINCT FROM {value(sync, each, 'NEW')}" for each in fills)
    return " OR ".join(parts) or "false"
