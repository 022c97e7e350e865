"""What happens when two versions write the same row of a shadow table in the same moment, as SQL. Pure.

Each locks its own side first: no order is common to both. So whoever writes the new side does not wait for the old row
when its holder waits for the new one, and has said so by an advisory lock: it leaves a line in `hitless.deferred`, and
the other one, once it gets the new row, maps down what it did not write itself. Should that one give up, the line stays
and the controller does it.
"""

# ruff: noqa: S608  every name that is put in is quoted; expressions are the user's own SQL

from collections.abc import Iterable

from hitless.database.mirror import groups, key_text, mapped, new_link, old_link, same
from hitless.database.names import MARK, literal, quoted
from hitless.database.own_triggers import up_again
from hitless.database.pieces import Fill, Shadow

WAIT_MS = 20  # for the old row, then one looks whether its holder waits for us
DECLARED = "_hitless_met boolean := false; _hitless_since timestamptz := clock_timestamp();"


def _mine(shadow: Shadow, *, upward: bool) -> str:
    """The row of the other side, by the links of OLD."""
    pairs = zip(new_link(shadow), old_link(shadow), strict=True)
    return same(
        (f"_hl_t.{quoted(new if upward else old)}", f"OLD.{quoted(old if upward else new)}") for new, old in pairs
    )


def _key(shadow: Shadow, *, upward: bool) -> str:
    return key_text(old_link(shadow) if upward else new_link(shadow), "OLD")


def _number(shadow: Shadow, version: str, *, upward: bool) -> str:
    name = f"{literal(f'{version} {shadow.old} ')} || {_key(shadow, upward=upward)}::text"
    return f"hashtextextended({name}, 0)"


def _where(shadow: Shadow, version: str) -> str:
    return f"space = current_schema() AND version = {literal(version)} AND base = {literal(shadow.old)}"


def old_writes(shadow: Shadow, version: str) -> list[str]:
    """Take the new row before it is written, say so where that means to wait, and see what was left to us."""
    mine = f"FROM {quoted(shadow.new)} AS _hl_t WHERE {_mine(shadow, upward=True)}"
    return [
        "IF TG_OP <> 'INSERT' THEN",
        f"PERFORM 1 {mine} FOR NO KEY UPDATE SKIP LOCKED;",
        f"IF NOT FOUND THEN IF EXISTS (SELECT 1 {mine}) THEN",
        f"PERFORM pg_advisory_xact_lock_shared({_number(shadow, version, upward=True)});",
        f"PERFORM 1 {mine} FOR NO KEY UPDATE;",
        f"DELETE FROM hitless.deferred WHERE {_where(shadow, version)} AND key = {_key(shadow, upward=True)};",
        "_hitless_met := FOUND;",
        "END IF; END IF; END IF;",
    ]


def gone_meanwhile(shadow: Shadow, leave: str) -> list[str]:
    """The other version has deleted the row, and left ours to us."""
    pairs = [(f"_hl_o.{quoted(each)}", f"NEW.{quoted(each)}") for each in shadow.key]
    there = f"EXISTS (SELECT 1 FROM {quoted(shadow.new)} AS _hl_t WHERE {_mine(shadow, upward=True)})"
    return [
        f"IF TG_OP = 'UPDATE' AND _hitless_met THEN IF NOT {there} THEN",
        f"DELETE FROM {quoted(shadow.old)} AS _hl_o WHERE {same(pairs)}; {leave}",
        "END IF; END IF;",
    ]


def mapped_down(shadow: Shadow) -> list[str]:
    """Map down what the other version wrote last."""
    pairs = ((f"_hl_o.{quoted(each)}", f"NEW.{quoted(each)}") for each in shadow.key)
    mine = same(pairs)
    statements = "".join(f"{each}; " for each in (_down(shadow, mine), up_again(shadow, mine)) if each)
    return [f"IF _hitless_met THEN {statements}END IF;"] if statements else []


def new_writes(shadow: Shadow, version: str, leave: str) -> list[str]:
    """Take the old row before it is written; where its holder waits for ours, leave it to that one."""
    mine = f"FROM {quoted(shadow.old)} AS _hl_t WHERE {_mine(shadow, upward=False)}"
    moves = " OR ".join(f"NEW.{quoted(each)} IS DISTINCT FROM OLD.{quoted(each)}" for each in new_link(shadow))
    number = _number(shadow, version, upward=False)
    patience = "current_setting('lock_timeout')"
    values = f"{literal(version)}, {literal(shadow.old)}, {_key(shadow, upward=False)}"
    return [
        "_hitless_met := TG_OP <> 'INSERT';",
        f"IF TG_OP = 'UPDATE' THEN _hitless_met := NOT ({moves}); END IF;",
        f"IF _hitless_met THEN PERFORM 1 {mine} FOR NO KEY UPDATE SKIP LOCKED;",
        f"IF FOUND THEN _hitless_met := false; ELSE _hitless_met := EXISTS (SELECT 1 {mine}); END IF; END IF;",
        "WHILE _hitless_met LOOP DECLARE _hitless_patience text := " + patience + "; BEGIN",
        f"PERFORM set_config('lock_timeout', '{WAIT_MS}ms', true);",
        f"PERFORM 1 {mine} FOR NO KEY UPDATE;",
        "PERFORM set_config('lock_timeout', _hitless_patience, true); _hitless_met := false;",
        "EXCEPTION WHEN lock_not_available THEN",  # the setting is taken back with it
        f"IF pg_try_advisory_lock({number}) THEN PERFORM pg_advisory_unlock({number});",
        f"IF {patience} <> '0' AND clock_timestamp() > _hitless_since + {patience}::interval THEN RAISE; END IF;",
        "ELSE",
        f"INSERT INTO hitless.deferred (version, base, key) VALUES ({values}) ON CONFLICT DO NOTHING;",
        f"{leave} END IF; END; END LOOP;",
    ]


def _down(shadow: Shadow, where: str) -> str:
    """Write the UPDATE of old rows by what the new side wrote last; empty where nothing is mapped down."""
    downs = tuple(each for each in shadow.downs if each.column not in old_link(shadow))
    sets = [
        f"{quoted(each.column)} = CASE WHEN coalesce(_hl_t.{quoted(MARK)}, 0) >> {2 * number} & 3 = 1 "
        f"THEN _hl_u.{quoted(each.column)} ELSE _hl_o.{quoted(each.column)} END"
        for number, each in _numbered(shadow, downs)
    ]
    linked = same((f"_hl_t.{quoted(new)}", f"_hl_o.{quoted(old)}") for old, new in shadow.link)
    return (
        f"UPDATE {quoted(shadow.old)} AS _hl_o SET {', '.join(sets)} FROM {quoted(shadow.new)} AS _hl_t, "
        f"LATERAL ({mapped(downs, '_hl_t')}) AS _hl_u WHERE {where} AND {linked}"
        if sets
        else ""
    )


def _numbered(shadow: Shadow, fills: tuple[Fill, ...]) -> Iterable[tuple[int, Fill]]:
    return ((number, each) for number, group in enumerate(groups(shadow)) for each in group if each in fills)


def settle(shadow: Shadow, key: list[str]) -> tuple[str, str, tuple[str, ...]]:
    """Write what brings one row in step that was left to somebody: how to take it, whether it is there, the changes."""
    values = zip(old_link(shadow), map(literal, key), strict=True)
    mine = same((f"_hl_o.{quoted(each)}", value) for each, value in values)
    linked = same((f"_hl_t.{quoted(new)}", f"_hl_o.{quoted(old)}") for old, new in shadow.link)
    there = f"SELECT 1 FROM {quoted(shadow.old)} AS _hl_o WHERE {mine}"
    lonely = f"NOT EXISTS (SELECT 1 FROM {quoted(shadow.new)} AS _hl_t WHERE {linked})"
    gone = f"DELETE FROM {quoted(shadow.old)} AS _hl_o WHERE {mine} AND {lonely}"
    follow = (each for each in (_down(shadow, mine), up_again(shadow, mine)) if each)
    return f"{there} FOR UPDATE SKIP LOCKED", there, (*follow, gone)
