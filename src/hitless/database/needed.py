"""What of a large database a rehearsal needs: the tables that a change and running queries name, and what they need."""

# ruff: noqa: S608  what is put together are fixed texts

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hitless.database.postgres import Target

FEW = 100  # relations: a database with no more of them is copied whole
Relation = tuple[str, str]  # schema, name

_SPACES = "n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'hitless')"
# what belongs to which relation: an index or an owned sequence to its table, a row type or a rule to its relation
_PARTS = f"""
WITH owned AS (SELECT objid AS oid, refobjid AS owner FROM pg_depend
               WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass AND deptype IN ('a', 'i')
                 AND refobjsubid > 0 AND objid IN (SELECT oid FROM pg_class WHERE relkind = 'S')),
     relation AS (SELECT c.oid, n.nspname, c.relname, c.relkind FROM pg_class c
                  JOIN pg_namespace n ON n.oid = c.relnamespace
                  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND {_SPACES}
                    AND c.oid NOT IN (SELECT oid FROM owned)),
     part (class, oid, owner, name) AS (
       SELECT 'pg_class'::regclass, oid, oid, relname FROM relation
       UNION ALL SELECT 'pg_class'::regclass, c.oid, o.owner, c.relname FROM owned o JOIN pg_class c USING (oid)
       UNION ALL SELECT 'pg_class'::regclass, c.oid, x.indrelid, c.relname
                 FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid
       UNION ALL SELECT 'pg_type'::regclass, oid, typrelid, NULL FROM pg_type WHERE typrelid <> 0
       UNION ALL SELECT 'pg_type'::regclass, typarray, typrelid, NULL FROM pg_type WHERE typrelid <> 0
       UNION ALL SELECT 'pg_attrdef'::regclass, oid, adrelid, NULL FROM pg_attrdef
       UNION ALL SELECT 'pg_rewrite'::regclass, oid, ev_class, rulename FROM pg_rewrite
       UNION ALL SELECT 'pg_constraint'::regclass, oid, conrelid, conname FROM pg_constraint WHERE conrelid <> 0
       UNION ALL SELECT 'pg_trigger'::regclass, oid, tgrelid, tgname FROM pg_trigger
       UNION ALL SELECT 'pg_policy'::regclass, oid, polrelid, polname FROM pg_policy
       UNION ALL SELECT 'pg_statistic_ext'::regclass, oid, stxrelid, stxname FROM pg_statistic_ext)
"""
RELATIONS = f"""{_PARTS}
SELECT oid::bigint AS oid, oid::bigint AS owner, nspname AS space, relname AS name, relkind::text AS kind FROM relation
UNION ALL
SELECT c.oid::bigint, r.oid::bigint, r.nspname, c.relname, c.relkind::text
FROM owned o JOIN relation r ON r.oid = o.owner JOIN pg_class c ON c.oid = o.oid
"""
NAMED = f"""{_PARTS}
SELECT DISTINCT p.owner::bigint AS oid FROM part p JOIN relation r ON r.oid = p.owner
WHERE p.name = ANY(%s) OR p.name !~ '^\\w+$' AND strpos(%s, p.name) > 0
"""
# who needs which other relation; 0 is whatever is no relation, of which all is copied: functions, types, operators
NEEDS = f"""{_PARTS}
SELECT DISTINCT coalesce(who.owner, 0)::bigint AS who, what.owner::bigint AS what
FROM pg_depend d
JOIN part what ON what.class = d.refclassid AND what.oid = d.refobjid
JOIN relation r ON r.oid = what.owner
LEFT JOIN part who ON who.class = d.classid AND who.oid = d.objid AND who.owner IN (SELECT oid FROM relation)
WHERE d.deptype NOT IN ('i', 'e') AND who.owner IS DISTINCT FROM what.owner
  AND (who.owner IS NOT NULL OR d.classid IN ('pg_proc'::regclass, 'pg_type'::regclass, 'pg_operator'::regclass,
                                              'pg_cast'::regclass, 'pg_event_trigger'::regclass)
       OR d.classid = 'pg_class'::regclass AND d.objid IN (SELECT oid FROM pg_class WHERE relkind = 'c'))
"""
CHILDREN = "SELECT inhrelid::bigint AS who, inhparent::bigint AS what FROM pg_inherits"
BODIES = f"""
SELECT p.proname AS name, p.prosrc AS body FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE {_SPACES} AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = p.oid AND deptype = 'e')
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Web:
    """How the relations of a database, by number, hang together."""

    views: frozenset[int]
    needs: frozenset[tuple[int, int]]  # who needs what; who is 0 where it is no relation
    children: frozenset[tuple[int, int]]  # child, parent

    def around(self, named: Iterable[int]) -> frozenset[int]:
        """Return what is named, what would feel a change of it, and all that these need."""
        felt = _reached(named, _by(self._feeling()))
        beside = {who for who, what in self.needs if what in felt}  # whose foreign key or default points to it
        needed = _by(self.needs | self.children)
        return (_reached(felt | beside, needed) | _reached([0], needed)) - {0}

    def _feeling(self) -> Iterable[tuple[int, int]]:
        """Yield what a change of a relation goes on to: views of it, and its partitions and heirs."""
        yield from ((what, who) for who, what in self.needs if who in self.views)
        yield from ((parent, child) for child, parent in self.children)


async def unneeded(target: Target, about: str) -> tuple[Relation, ...]:
    """Return the relations that nothing in a text is about, nor what it names needs; none of a small database."""
    relations = await target.rows(RELATIONS)
    if len(relations) <= FEW:
        return ()
    text = _with_bodies(about, await target.rows(BODIES))
    named = await target.rows(NAMED, list(_words(text)), text)
    web = Web(
        views=frozenset(row["oid"] for row in relations if row["kind"] in ("v", "m")),
        needs=frozenset((row["who"], row["what"]) for row in await target.rows(NEEDS)),
        children=frozenset((row["who"], row["what"]) for row in await target.rows(CHILDREN)),
    )
    kept = web.around(row["oid"] for row in named)
    return tuple(sorted((row["space"], row["name"]) for row in relations if row["owner"] not in kept))


def _with_bodies(text: str, functions: Iterable[Mapping[str, str]]) -> str:
    """Add what functions say that are named, and those that these name: the server may read it while it plans."""
    bodies: dict[str, str] = {}
    for each in functions:
        bodies[each["name"]] = f"{bodies.get(each['name'], '')}\n{each['body']}"
    fresh = text
    while called := _words(fresh) & bodies.keys():
        fresh = "\n".join(bodies.pop(each) for each in sorted(called))
        text += f"\n{fresh}"
    return text


def _words(text: str) -> frozenset[str]:
    words = frozenset(re.findall(r"\w+", text))
    return words | {each.lower() for each in words}


def _by(pairs: Iterable[tuple[int, int]]) -> Mapping[int, set[int]]:
    found: dict[int, set[int]] = {}
    for one, other in pairs:
        found.setdefault(one, set()).add(other)
    return found


def _reached(start: Iterable[int], ways: Mapping[int, set[int]]) -> frozenset[int]:
    reached, fresh = set[int](), set(start)
    while fresh:
        reached |= fresh
        fresh = {each for one in fresh for each in ways.get(one, ())} - reached
    return frozenset(reached)
