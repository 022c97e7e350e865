"""A row of a shadow table that the other side cannot hold stays listed until it fits. Pure.

Where its key does not fit, the other side keeps the row under the key that it had: `hitless.unmappable.was`. What
either version then writes to its own row goes to that one.
"""

# ruff: noqa: S608  every name that is put in is quoted; expressions are the user's own SQL

from hitless.database.comparing import differing_row
from hitless.database.meeting import DECLARED
from hitless.database.mirror import key_text, new_link, old_link, same
from hitless.database.names import literal, quoted
from hitless.database.pieces import Shadow
from hitless.database.triggers import list_row

_SIDES = {True: "old", False: "new"}  # who writes, by the direction in which it is mapped
CAUGHT = "EXCEPTION WHEN data_exception OR integrity_constraint_violation OR raise_exception THEN"


def _links(shadow: Shadow, *, upward: bool) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """Return the table that follows, its linking columns, and those of the one that was written."""
    if upward:
        return shadow.new, new_link(shadow), old_link(shadow)
    return shadow.old, old_link(shadow), new_link(shadow)


def _listed(shadow: Shadow, version: str) -> str:
    return f"space = current_schema() AND version = {literal(version)} AND base = {literal(shadow.old)}"


def declared(shadow: Shadow, *, upward: bool) -> str:
    """Declare what is known of the row: who wrote what was listed, what the server said, the other side's key."""
    table, link, _ = _links(shadow, upward=upward)
    typed = (f"_hitless_other_{n} {quoted(table)}.{quoted(each)}%TYPE;" for n, each in enumerate(link))
    return f"{DECLARED} _hitless_writer text; _hitless_why text; _hitless_other text[]; {' '.join(typed)}"


def looked_up(shadow: Shadow, version: str, *, upward: bool) -> list[str]:
    """Take the row off the list, and see under which other key the other side may have it."""
    _, link, source = _links(shadow, upward=upward)
    mine, key = _listed(shadow, version), key_text(source, "OLD")
    taken = "RETURNING side, why, was INTO _hitless_writer, _hitless_why, _hitless_other"
    others = (
        f"SELECT key FROM hitless.unmappable WHERE {mine} AND was = {key} AND side = '{_SIDES[not upward]}' LIMIT 1"
    )
    known = [f"_hitless_other_{n} := _hitless_other[{n + 1}];" for n, _ in enumerate(link)]
    return [
        f"IF EXISTS (SELECT 1 FROM hitless.unmappable WHERE {mine}) THEN",  # rarely: one look instead of two
        f"DELETE FROM hitless.unmappable WHERE {mine} AND key = {key} {taken};",
        f"IF _hitless_writer IS DISTINCT FROM '{_SIDES[upward]}' THEN _hitless_other := ({others}); END IF;",
        "IF _hitless_other IS NOT NULL THEN",
        *known,
        "END IF;",
        "END IF;",
    ]


def either(shadow: Shadow, statement: str, *, upward: bool) -> list[str]:
    """Write a statement about `{row}` of the other side: under the key that it has there, or that of our own row."""
    _, link, source = _links(shadow, upward=upward)
    other = same((f"_hl_t.{quoted(each)}", f"_hitless_other_{n}") for n, each in enumerate(link))
    own = same((f"_hl_t.{quoted(one)}", f"OLD.{quoted(two)}") for one, two in zip(link, source, strict=True))
    return [
        f"IF _hitless_other IS NOT NULL THEN {statement.replace('{row}', other)};",
        f"ELSE {statement.replace('{row}', own)};",
        "END IF;",
    ]


def unlisted(shadow: Shadow, version: str, *, upward: bool) -> str:
    """Take the other side's row off the list, where it stands there under another key: ours is gone, or has moved."""
    mine, key = _listed(shadow, version), key_text(_links(shadow, upward=upward)[2], "OLD")
    gone = f"DELETE FROM hitless.unmappable WHERE {mine} AND was = {key} AND key = _hitless_other"
    return (
        f"IF _hitless_writer IS NULL AND _hitless_other IS NOT NULL THEN {gone} "
        "RETURNING side, why INTO _hitless_writer, _hitless_why; END IF;"
    )


def was_listed(*, upward: bool) -> str:
    """Write the condition that what our own side wrote did not fit."""
    return f"_hitless_writer IS NOT DISTINCT FROM '{_SIDES[upward]}'"


def moved(shadow: Shadow, *, upward: bool) -> str:
    """Write the condition that a row gets another key."""
    source = _links(shadow, upward=upward)[2]
    return " OR ".join(f"NEW.{quoted(each)} IS DISTINCT FROM OLD.{quoted(each)}" for each in source)


def twice(first: list[str], second: list[str], *, upward: bool) -> list[str]:
    """Write what is tried first for a row whose last write did not fit: all of that, and if it still does not, less."""
    return [f"IF {was_listed(upward=upward)} THEN BEGIN", *first, CAUGHT, *second, "END; ELSE", *second, "END IF;"]


def kept_listed(shadow: Shadow, version: str, *, upward: bool) -> list[str]:
    """List a row again that was taken off the list and is still not in step."""
    table, link, source = _links(shadow, upward=upward)
    key = shadow.key if upward else source
    mine = same((f"_hl_o.{quoted(one)}", f"NEW.{quoted(two)}") for one, two in zip(old_link(shadow), key, strict=True))
    other = same((f"_hl_t.{quoted(each)}", f"_hitless_other_{n}") for n, each in enumerate(link))
    was = f"CASE WHEN EXISTS (SELECT 1 FROM {quoted(table)} AS _hl_t WHERE {other}) THEN _hitless_other END"
    again = list_row(version, shadow.old, key_text(source, "NEW"), "_hitless_writer = 'new'", "_hitless_why", was)
    there = f"EXISTS (SELECT 1 FROM {quoted(shadow.old)} AS _hl_o WHERE {mine})"
    return [
        "IF _hitless_writer IS NOT NULL THEN",
        "DECLARE _hitless_differs boolean := true;",
        "BEGIN",
        f"BEGIN _hitless_differs := NOT {there} OR EXISTS ({differing_row(shadow, mine)}); {CAUGHT} NULL; END;",
        f"IF _hitless_differs THEN {again} END IF;",
        "END; END IF;",
    ]


def listed_anew(shadow: Shadow, version: str, *, upward: bool) -> list[str]:
    """List a row that cannot be mapped; where it has got another key, with that under which the other side keeps it."""
    table, link, source = _links(shadow, upward=upward)
    own = same((f"_hl_t.{quoted(one)}", f"OLD.{quoted(two)}") for one, two in zip(link, source, strict=True))
    kept = f"SELECT {key_text(link, '_hl_t')} FROM {quoted(table)} AS _hl_t WHERE {own}"
    why = "SQLSTATE || ': ' || SQLERRM"
    return [
        "IF TG_OP = 'UPDATE' THEN",
        f"IF _hitless_other IS NULL AND ({moved(shadow, upward=upward)}) THEN _hitless_other := ({kept}); END IF;",
        "END IF;",
        f"PERFORM set_config('hitless.why', {why}, true);",
        list_row(version, shadow.old, key_text(source, "NEW"), "false" if upward else "true", was="_hitless_other"),
        "PERFORM set_config('hitless.why', '', true);",
    ]
