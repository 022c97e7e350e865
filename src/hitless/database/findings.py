"""What a rehearsal says about a change: rules with names that stay. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from hitless.database.observation import Size

SMALL_ROWS, SMALL_BYTES = 10_000, 16 << 20  # up to here a scan or a rewrite under a lock is over within some 20 ms
LISTED = 5
SHOWN = 100  # characters of a statement
STRONG = ("ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock")  # that make writes wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that a person should know before the change runs; `rule` stays the same from release to release."""

    rule: str
    text: str
    hint: str = ""
    refuses: bool = True  # unless it is accepted with a reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """What a change did to an empty copy of the database."""

    destroys: tuple[str, ...] = ()  # what contract takes away for good, in words
    findings: tuple[Finding, ...] = ()
    failure: Finding | None = None  # it could not be carried out there, so it must not be here
    where: str = ""  # the copy, in words; empty: it was not rehearsed
    queries: int = 0  # of the running code, tried on both versions


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One thing that the server did during a phase."""

    phase: str
    what: str
    table: str
    detail: str


_RULES = {
    "rewriting table": ("rewrites-table", "writes the whole table anew", "fill a new column in batches: `up`"),
    "verifying table": (
        "scans-table",
        "reads the whole table",
        "check it first: a constraint is validated in backfill",
    ),
    "building index": ("builds-index", "builds an index", "create_index builds beside running writes"),
    "validating foreign key constraint": (
        "validates-foreign-key",
        "compares two whole tables",
        "a references of add_column or create_constraint is validated in backfill",
    ),
}


def judged(seen: Iterable[Seen], sizes: Mapping[str, Size]) -> Iterator[Finding]:
    """Yield a finding for each table that existed before and would be blocked for as long as its rows take."""
    told = set()
    for each in seen:
        blocks = each.phase != "backfill" or each.what == "rewriting table"
        if each.table in sizes and each.what != "lock" and blocks and (each.what, each.table) not in told:
            told.add((each.what, each.table))
            yield _under_lock(each, sizes[each.table])


def locks(seen: Iterable[Seen], sizes: Mapping[str, Size]) -> Iterator[Finding]:
    """Yield which tables that existed before are locked by which phase, the strongest mode of each."""
    strongest: dict[tuple[str, str], str] = {}
    for each in seen:
        if each.what == "lock" and each.table in sizes:
            before = strongest.get((each.phase, each.table), STRONG[0])
            strongest[each.phase, each.table] = max(before, each.detail, key=STRONG.index)
    for phase, mode in sorted({(phase, mode) for (phase, _), mode in strongest.items()}):
        tables = ", ".join(sorted(name for (of, name), its in strongest.items() if (of, its) == (phase, mode)))
        text = f"{phase} takes {mode} on {tables}, in one short transaction"
        yield Finding(rule="locks", text=text, refuses=False)


def _under_lock(seen: Seen, size: Size) -> Finding:
    rule, does, hint = _RULES[seen.what]
    statement = " ".join(seen.detail.split())[:SHOWN]
    of = f": {statement}" if statement else ""
    small = size.rows <= SMALL_ROWS and size.bytes <= SMALL_BYTES
    text = f"{seen.phase} {does} ({seen.table}, about {size.rows} rows) while nobody can use it{of}"
    return Finding(rule=rule, text=text, hint=hint, refuses=not small)


def left_behind(
    way: str,
    wanted: frozenset[tuple[str, str, str]],
    found: frozenset[tuple[str, str, str]],
    grown: frozenset[tuple[str, str]] = frozenset(),
) -> Iterator[Finding]:
    """Yield what differs between two shapes of the catalogue that should be the same, but for what stays `grown`."""
    differing = sorted({f"{kind} {name}" for kind, name, _ in wanted ^ found if (kind, name) not in grown})
    if differing:
        more = f" and {len(differing) - LISTED} more" if len(differing) > LISTED else ""
        text = f"{way} leaves another catalogue than it should: {', '.join(differing[:LISTED])}{more}"
        yield Finding(rule="not-reversible", text=text, hint="give `sql` operations a `down` that undoes their `up`")
