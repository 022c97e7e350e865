"""What the user's own triggers make of an old row that follows a write of the new version: it goes up again. Pure."""

# ruff: noqa: S608  every name that is put in is quoted; expressions are the user's own SQL

from hitless.database.mirror import groups, mapped, new_link, same
from hitless.database.names import MARK, quoted
from hitless.database.pieces import Shadow
from hitless.database.sync import moving


def up_again(shadow: Shadow, where: str) -> str:
    """Write the UPDATE of new rows whose old one, by a condition on `_hl_o`, became other than was mapped down to it.

    Only the groups in which that happened, and there the old side wrote last; empty where no trigger could.
    """
    if not shadow.own_triggers:
        return ""
    link, sets, cleared, changed = new_link(shadow), list[str](), list[str](), list[str]()
    for number, group in enumerate(groups(shadow)):
        ups = [each.column for each in group if each.upward and each.column not in link]
        downs = [each.column for each in group if not each.upward and not moving(each)]
        if not ups or not downs:
            continue
        other = " OR ".join(f"_hl_o.{quoted(each)} IS DISTINCT FROM _hl_d.{quoted(each)}" for each in downs)
        sets += [
            f"{quoted(each)} = CASE WHEN {other} THEN _hl_u.{quoted(each)} ELSE _hl_n.{quoted(each)} END"
            for each in ups
        ]
        cleared.append(f"CASE WHEN {other} THEN {3 << (2 * number)} ELSE 0 END::bigint")
        changed.append(other)
    if not sets:
        return ""
    sets.append(f"{quoted(MARK)} = coalesce(_hl_n.{quoted(MARK)}, 0) & ~({' | '.join(cleared)})")
    linked = same((f"_hl_n.{quoted(new)}", f"_hl_o.{quoted(old)}") for old, new in shadow.link)
    mine = same((f"_hl_t.{quoted(each)}", f"_hl_n.{quoted(each)}") for each in link)
    return (
        f"UPDATE {quoted(shadow.new)} AS _hl_t SET {', '.join(sets)} "
        f"FROM {quoted(shadow.new)} AS _hl_n, LATERAL ({mapped(shadow.downs, '_hl_n', typed=True)}) AS _hl_d, "
        f"{quoted(shadow.old)} AS _hl_o, LATERAL ({mapped(shadow.ups, '_hl_o')}) AS _hl_u "
        f"WHERE {where} AND {linked} AND {mine} AND ({' OR '.join(changed)})"
    )
