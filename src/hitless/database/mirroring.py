"""The triggers that keep a shadow table and the old one in step, row by row, in both directions. Pure."""

# ruff: noqa: S608  every name that is put in is quoted; expressions are the user's own SQL

from collections.abc import Mapping

from hitless.database.meeting import gone_meanwhile, mapped_down, new_writes, old_writes
from hitless.database.mirror import (
    columns_of,
    concerning,
    folded,
    groups,
    key_text,
    mapped,
    new_link,
    old_link,
    reads,
    same,
    split_of,
)
from hitless.database.names import AFTER, FIRST, MARK, literal, quoted
from hitless.database.own_triggers import up_again
from hitless.database.pieces import Fill, Shadow
from hitless.database.standing import (
    CAUGHT,
    declared,
    either,
    kept_listed,
    listed_anew,
    looked_up,
    moved,
    twice,
    unlisted,
)
from hitless.database.sync import function_name
from hitless.database.triggers import forget, list_row, on, options, permitted

WITHIN = "hitless.within"  # the table whose other side is being written: its own triggers rest, all others do not


def install(shadow: Shadow, version: str, schema: str, pins: Mapping[str, str]) -> tuple[str, ...]:
    """Write the statements that put the triggers in place; `schema` is that of the new version's views."""
    bodies = {
        "mark": (_marking(shadow), pins),
        "up": (_following(shadow, version, upward=True), pins),
        "down": (_following(shadow, version, upward=False), pins),
        "up_truncate": (_emptied(shadow, shadow.new, version), pins),
        "down_truncate": (_emptied(shadow, shadow.old, version), pins),
    }
    names = {which: function_name(schema, shadow.old, which) for which in bodies}
    statements = [
        f"CREATE FUNCTION {names[which]}() RETURNS trigger {options(pinned)} AS {literal(body)}"
        for which, (body, pinned) in bodies.items()
    ]
    when = f"WHEN ({on()} AND current_setting('{WITHIN}', true) IS DISTINCT FROM {literal(shadow.old)})"
    old, new = quoted(shadow.old), quoted(shadow.new)
    first, after, emptied = quoted(FIRST), quoted(AFTER), quoted(f"{AFTER}_truncate")
    before = f"BEFORE INSERT OR UPDATE ON {new} FOR EACH ROW"
    row = "AFTER INSERT OR UPDATE OR DELETE ON"
    statements += [
        f"CREATE TRIGGER {first} {before} {when} EXECUTE FUNCTION {names['mark']}()",
        f"CREATE TRIGGER {after} {row} {old} FOR EACH ROW {when} EXECUTE FUNCTION {names['up']}()",
        f"CREATE TRIGGER {after} {row} {new} FOR EACH ROW {when} EXECUTE FUNCTION {names['down']}()",
        f"CREATE TRIGGER {emptied} AFTER TRUNCATE ON {old} {when} EXECUTE FUNCTION {names['up_truncate']}()",
        f"CREATE TRIGGER {emptied} AFTER TRUNCATE ON {new} {when} EXECUTE FUNCTION {names['down_truncate']}()",
    ]
    return tuple(statements)


def remove(shadow: Shadow, schema: str) -> tuple[str, ...]:
    """Write the statements that take the triggers away."""
    tables = ((shadow.old, (AFTER, f"{AFTER}_truncate")), (shadow.new, (FIRST, AFTER, f"{AFTER}_truncate")))
    gone = [f"DROP TRIGGER IF EXISTS {quoted(each)} ON {quoted(table)}" for table, names in tables for each in names]
    which = ("mark", "up", "down", "up_truncate", "down_truncate")
    return (*gone, *(f"DROP FUNCTION IF EXISTS {function_name(schema, shadow.old, each)}()" for each in which))


_BEFORE = f"DECLARE _hitless_before text := coalesce(current_setting('{WITHIN}', true), '');"
# a failure takes the setting back by itself; SET at the function would need a superuser
_LEAVE = f"PERFORM set_config('{WITHIN}', _hitless_before, true); RETURN NULL;"


def _enter(shadow: Shadow) -> str:
    return f"PERFORM set_config('{WITHIN}', {literal(shadow.old)}, true);"


def _emptied(shadow: Shadow, table: str, version: str) -> str:
    """Empty the other side, too; no row is left that could be listed."""
    unlisted = forget(version, shadow.old, "key")
    return "\n".join([_BEFORE, "BEGIN", _enter(shadow), f"TRUNCATE {quoted(table)};", unlisted, _LEAVE, "END"])


def _changed(columns: tuple[str, ...]) -> str:
    return " OR ".join(f"NEW.{quoted(each)} IS DISTINCT FROM OLD.{quoted(each)}" for each in columns) or "false"


def _marking(shadow: Shadow) -> str:
    """Note in the row that the new side wrote it last; `split` and `merge` are compared without."""
    mark = f"NEW.{quoted(MARK)}"
    numbered = list(enumerate(groups(shadow))) if shadow.shape == "one" else []
    everything = sum(1 << (2 * number) for number, _ in numbered)
    lines = _old_keys(shadow)
    lines += [f"IF TG_OP = 'INSERT' THEN {mark} := {everything}; ELSE"]
    lines += [
        f"IF {_changed(concerning(group, old=False))} THEN {mark} := {mark} | {1 << (2 * number)}; END IF;"
        for number, group in numbered
    ]
    return "\n".join(["BEGIN", *lines, "END IF;", "RETURN NEW;", "END"])


def _old_keys(shadow: Shadow) -> list[str]:
    """Have the row hold the old key that follows from what was written; what gives none is refused."""
    lines: list[str] = []
    for each in shadow.held:
        setting = f"NEW.{quoted(each.column)} := ({mapped((each,), 'NEW', typed=True)});"
        lines += [f"IF TG_OP = 'INSERT' THEN {setting}", f"ELSIF {_changed(reads(each))} THEN {setting} END IF;"]
    return lines


def _following(shadow: Shadow, version: str, *, upward: bool) -> str:
    if shadow.shape == "one":
        return _one(shadow, version, upward=upward)
    fans = (shadow.shape == "split") is upward
    return _fan(shadow, version, upward=upward) if fans else _fold(shadow, version, upward=upward)


def _sides(shadow: Shadow, *, upward: bool) -> tuple[tuple[Fill, ...], str, str, tuple[str, ...], tuple[str, ...]]:
    """Return mappings, the table that is written, that which was, and the linking columns of both (target, source)."""
    if upward:
        return shadow.ups, shadow.new, shadow.old, new_link(shadow), old_link(shadow)
    return shadow.downs, shadow.old, shadow.new, old_link(shadow), new_link(shadow)


def _linked(target: tuple[str, ...], source: tuple[str, ...], alias: str, row: str) -> str:
    return same((f"{alias}.{quoted(one)}", f"{row}.{quoted(other)}") for one, other in zip(target, source, strict=True))


def _into(table: str, columns: str) -> str:
    """Begin to insert; an identity column takes the value that the other side has given."""
    return f"INSERT INTO {quoted(table)} ({columns}) OVERRIDING SYSTEM VALUE"


def _one(shadow: Shadow, version: str, *, upward: bool) -> str:
    fills, target, _, link, _ = _sides(shadow, upward=upward)
    into = _into(target, columns_of(fills) + (f", {quoted(MARK)}" if upward else ""))
    query = f"SELECT _hl_u.*{', 0' if upward else ''} FROM ({mapped(fills, 'NEW')}) AS _hl_u"
    cleared = [f"{quoted(MARK)} = {_old_wrote(shadow)}"] if upward else []
    anew = [f"{quoted(each.column)} = excluded.{quoted(each.column)}" for each in fills]
    anew += [f"{quoted(MARK)} = 0"] if upward else []
    names = ", ".join(quoted(each) for each in (shadow.new_key if shadow.loose and upward else link))
    insert = f"IF NOT FOUND THEN {into} {query} ON CONFLICT ({names}) DO UPDATE SET {', '.join(anew)}; END IF;"

    def renewed(*, left: bool) -> list[str]:
        sets = ", ".join([*_sets(shadow, upward=upward, left=left), *cleared])
        update = f"UPDATE {quoted(target)} AS _hl_t SET {sets} FROM ({mapped(fills, 'NEW')}) AS _hl_u WHERE {{row}}"
        return [*either(shadow, update, upward=upward), insert]

    lines = [
        *(gone_meanwhile(shadow, _LEAVE) if upward else []),
        f"IF TG_OP = 'INSERT' THEN {into} {query};",
        "ELSE",
        *twice(renewed(left=True), renewed(left=False), upward=upward),
        f"IF {moved(shadow, upward=upward)} THEN {unlisted(shadow, version, upward=upward)} END IF;",
        "END IF;",
        *(mapped_down(shadow) if upward else _answered(shadow)),
        *kept_listed(shadow, version, upward=upward),
    ]
    failed = listed_anew(shadow, version, upward=upward)
    if upward:  # it wrote last all the same
        marked = either(shadow, f"UPDATE {quoted(target)} AS _hl_t SET {cleared[0]} WHERE {{row}}", upward=True)
        failed += ["IF TG_OP = 'UPDATE' THEN", *marked, "END IF;"]
    raised = ["IF SQLSTATE = '23505' THEN RAISE; END IF;"] if shadow.loose and not upward else []
    return _body(
        shadow,
        declared(shadow, upward=upward),
        known=[
            *(old_writes(shadow, version) if upward else new_writes(shadow, version, _LEAVE)),
            *["IF TG_OP <> 'INSERT' THEN", *looked_up(shadow, version, upward=upward), "END IF;"],
        ],
        gone=[
            *either(shadow, f"DELETE FROM {quoted(target)} AS _hl_t WHERE {{row}}", upward=upward),
            unlisted(shadow, version, upward=upward),
        ],
        lines=lines,
        failed=[*raised, f"IF NOT {permitted(version, fills)} THEN RAISE; END IF;", *failed],
    )


def _answered(shadow: Shadow) -> list[str]:
    """Take over what the user's own triggers have made of the old row."""
    pairs = zip(old_link(shadow), new_link(shadow), strict=True)
    again = up_again(shadow, same((f"_hl_o.{quoted(one)}", f"NEW.{quoted(two)}") for one, two in pairs))
    return [f"{again};"] if again else []


def _sets(shadow: Shadow, *, upward: bool, left: bool) -> list[str]:
    """Renew what follows from what was written just now; with `left` also what was written last and did not fit."""
    sets = []
    mark, last = ("_hl_t", 0) if upward else ("NEW", 1)
    for number, group in enumerate(groups(shadow)):
        condition = _changed(concerning(group, old=upward))
        condition += f" OR coalesce({mark}.{quoted(MARK)}, 0) >> {2 * number} & 3 = {last}" if left else ""
        sets += [
            f"{quoted(each.column)} = CASE WHEN {condition} THEN _hl_u.{quoted(each.column)} "
            f"ELSE _hl_t.{quoted(each.column)} END"
            for each in group
            if each.upward is upward
        ]
    return sets


def _old_wrote(shadow: Shadow) -> str:
    """Write the mark of a row of which the old side has written something just now."""
    cleared = " | ".join(
        f"CASE WHEN {_changed(concerning(group, old=True))} THEN {3 << (2 * number)} ELSE 0 END::bigint"
        for number, group in enumerate(groups(shadow))
    )
    return f"coalesce(_hl_t.{quoted(MARK)}, 0) & ~({cleared or '0'})"


def _body(
    shadow: Shadow, declared: str, *, known: list[str], gone: list[str], lines: list[str], failed: list[str]
) -> str:
    """Put a function together.

    `known`: what is to be known of the row first; `gone`: what happens if it is deleted, else `lines`; `failed`: what
    is done where that cannot be.
    """
    return "\n".join(
        [
            "#variable_conflict use_column",
            f"{_BEFORE} {declared}",
            "BEGIN",
            _enter(shadow),
            *known,
            "IF TG_OP = 'DELETE' THEN",
            *gone,
            f"{_LEAVE} END IF;",
            "BEGIN",
            *lines,
            CAUGHT,
            *failed,
            "END;",
            _LEAVE,
            "END",
        ]
    )


def _unheld(shadow: Shadow, version: str, fills: tuple[Fill, ...], key: str, *, upward: bool) -> list[str]:
    """List a row, or refuse it."""
    return [
        f"IF NOT {permitted(version, fills)} THEN RAISE; END IF;",
        "PERFORM set_config('hitless.why', SQLSTATE || ': ' || SQLERRM, true);",
        list_row(version, shadow.old, key, "false" if upward else "true"),
        "PERFORM set_config('hitless.why', '', true);",
    ]


def _fan(shadow: Shadow, version: str, *, upward: bool) -> str:
    """One row was written, several follow: what its mapping no longer gives goes, what it gives is renewed."""
    fills, target, _, link, source = _sides(shadow, upward=upward)
    split_by = split_of(shadow, upward=upward)
    key = shadow.new_key if upward else shadow.key
    mine = _linked(link, source, "_hl_t", "OLD")
    query = mapped(fills, "NEW", split_by)
    if split_by is None:  # a merge whose new rows do not say how they come apart: all old rows take them over
        sets = ", ".join(f"{quoted(each.column)} = _hl_u.{quoted(each.column)}" for each in fills)
        lines = [
            "IF TG_OP = 'UPDATE' THEN",
            f"UPDATE {quoted(target)} AS _hl_t SET {sets} FROM ({query}) AS _hl_u WHERE {mine};",
            "END IF;",
            "IF TG_OP = 'INSERT' OR NOT FOUND THEN",
            f"{_into(target, columns_of(fills))} {query};",
            "END IF;",
        ]
    else:
        columns = ", ".join(quoted(each) for each in key)
        # Where the mapping does not say the key, nothing tells which row is which: all of them are made anew.
        said = {each.column for each in fills}.issuperset(key)
        keep = f"({columns}) NOT IN (SELECT {columns} FROM ({query}) AS _hl_u)" if said else "TRUE"
        sets = ", ".join(f"{quoted(each.column)} = excluded.{quoted(each.column)}" for each in fills)
        lines = [
            f"IF TG_OP = 'UPDATE' THEN DELETE FROM {quoted(target)} AS _hl_t WHERE {mine} AND {keep}; END IF;",
            f"{_into(target, columns_of(fills))} {query} ON CONFLICT ({columns}) DO UPDATE SET {sets};",
        ]
    changed = _changed(tuple(sorted({each for group in groups(shadow) for each in concerning(group, old=upward)})))
    return _body(
        shadow,
        "",
        known=[
            f"IF TG_OP = 'UPDATE' THEN IF NOT ({changed}) THEN {_LEAVE} END IF; END IF;",
            f"IF TG_OP <> 'INSERT' THEN {forget(version, shadow.old, key_text(source, 'OLD'))} END IF;",
        ],
        gone=[f"DELETE FROM {quoted(target)} AS _hl_t WHERE {mine};"],
        lines=lines,
        failed=_unheld(shadow, version, fills, key_text(source, "NEW"), upward=upward),
    )


def _fold(shadow: Shadow, version: str, *, upward: bool) -> str:
    """One of several rows was written: the one that they make is computed again, from what is there once it is held."""
    fills, target, table, link, source = _sides(shadow, upward=upward)

    def again(row: str) -> list[str]:
        mine = _linked(link, source, "_hl_t", row)
        rows = _linked(source, source, "_hl_s", row)
        query = folded(fills, table, rows, source)
        names = ", ".join(quoted(each) for each in link)
        sets = ", ".join(f"{quoted(each.column)} = _hl_u.{quoted(each.column)}" for each in fills)
        there = f"EXISTS (SELECT 1 FROM {quoted(table)} AS _hl_s WHERE {rows})"
        key = key_text(source, row)
        return [
            "BEGIN",
            forget(version, shadow.old, key),
            f"{_into(target, columns_of(fills))} {query} ON CONFLICT ({names}) DO NOTHING;",
            f"PERFORM 1 FROM {quoted(target)} AS _hl_t WHERE {mine} FOR UPDATE;",
            f"UPDATE {quoted(target)} AS _hl_t SET {sets} FROM ({query}) AS _hl_u WHERE {mine};",
            f"DELETE FROM {quoted(target)} AS _hl_t WHERE {mine} AND NOT {there};",
            CAUGHT,
            "IF SQLSTATE = '23503' THEN RAISE; END IF;",  # a foreign key holds for both sides
            *_unheld(shadow, version, fills, key, upward=upward),
            "END;",
        ]

    # What a row left, and what it came to, are two things: either may be what the other side cannot hold.
    left = ["IF TG_OP = 'UPDATE' THEN", f"IF {_changed(source)} THEN", *again("OLD"), "END IF; END IF;"]
    return "\n".join(
        [
            "#variable_conflict use_column",
            _BEFORE,
            "BEGIN",
            _enter(shadow),
            "IF TG_OP = 'DELETE' THEN",
            *again("OLD"),
            f"{_LEAVE} END IF;",
            *left,
            *again("NEW"),
            _LEAVE,
            "END",
        ]
    )
