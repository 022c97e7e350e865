"""Functions of the user's triggers that name a column which the change takes away: each write would fail then."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from hitless.database.connecting import Row
from hitless.database.findings import Finding
from hitless.database.postgres import Target

TRIGGERS = """
SELECT c.relname AS table, t.tgname AS trigger, p.proname AS function, p.prosrc AS body,
       ARRAY(SELECT a.attname::text FROM pg_attribute a
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid
WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND p.pronamespace IS DISTINCT FROM to_regnamespace('hitless')
  AND c.relnamespace = quote_ident(current_schema())::regnamespace
ORDER BY 1, 2
"""
_NAMED = re.compile(r"\b(?:NEW|OLD)\s*\.\s*(?:\"((?:[^\"]|\"\")+)\"|(\w+))", re.IGNORECASE)
HINT = "write the function for both shapes before, or replace it in this change: sql with onComplete"


async def triggers(target: Target) -> Sequence[Row]:
    """Return the user's triggers as they are, with their functions and the columns that those may name."""
    return await target.rows(TRIGGERS)


def unfit_triggers(before: Iterable[Row], after: Iterable[Row]) -> Iterator[Finding]:
    """Yield a finding for each trigger that fits its table now, and after contract no longer."""
    there: Mapping[tuple[str, str], Row] = {(each["table"], each["trigger"]): each for each in before}
    for each in after:
        now = there.get((each["table"], each["trigger"]))
        if now is None:
            continue
        gone = set(now["columns"]) - set(each["columns"])
        if named := sorted(gone & _columns(each["body"])):
            text = f"trigger {each['trigger']} of {each['table']} calls {each['function']}, which names {named[0]}"
            yield Finding(rule="unfit-trigger", text=f"{text}: from contract on each write would fail", hint=HINT)


def _columns(body: str) -> set[str]:
    return {quoted.replace('""', '"') or plain.lower() for quoted, plain in _NAMED.findall(body)}
