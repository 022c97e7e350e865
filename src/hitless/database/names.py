"""How names and values are written in SQL, and which names are ours. Pure."""

import hashlib
import re

NAME_LIMIT = 63  # bytes of an identifier in PostgreSQL
MARK = "_hitless_side"  # two bits for each group of linked columns; NULL: not yet filled
FIRST, LAST = "!hitless_first", "zzz_hitless_last"  # triggers fire by name: before and after the user's own
AFTER = "zzz_hitless_after"
PUBLIC = "public"
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")
_IN_PATH = re.compile(r'(?:"(?:[^"]|"")*"|[^",])+')


def quoted(name: str) -> str:
    """Write a name so that any character in it is safe."""
    return '"' + name.replace('"', '""') + '"'


def plain(name: str) -> str:
    """Write a name for a person to read: in quotes only where it needs them."""
    return name if _PLAIN.fullmatch(name) else quoted(name)


def schemas_in(path: str) -> list[str]:
    """Return the words of a search_path, as they stand there: a comma in quotes is part of a name."""
    return [word for each in _IN_PATH.findall(path) if (word := each.strip())]


def literal(text: str) -> str:
    """Write a text as a value, whatever standard_conforming_strings says."""
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f"E'{escaped}'" if "\\" in text else f"'{escaped}'"


def fitted(name: str) -> str:
    """Cut a name to what PostgreSQL keeps; what is cut off is told apart by a hash."""
    if len(name.encode()) <= NAME_LIMIT:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return name.encode()[: NAME_LIMIT - 9].decode(errors="ignore") + "_" + digest


def temporary(name: str) -> str:
    """Name the stand-in that takes the place of `name` at contract."""
    return fitted(f"_hitless_{name}")


def schema_of(version: str, space: str = PUBLIC) -> str:
    """Name the schema of views of a version; `space` is the schema of the base tables."""
    return fitted(f"hitless_{version}" if space == PUBLIC else f"hitless_{space}__{version}")


def application_of(version: str, space: str = PUBLIC) -> str:
    """Name the sessions of a version, as pg_stat_activity shows them."""
    return fitted(f"hitless/{version}" if space == PUBLIC else f"hitless/{space}/{version}")


def role_of(version: str, space: str, database: str) -> str:
    """Name the login role of a version, for sessions that come through a pooler."""
    return fitted(f"hitless_{database}_{version}" if space == PUBLIC else f"hitless_{database}_{space}__{version}")


def listed(names: tuple[str, ...]) -> str:
    """Write names as a list of columns."""
    return ", ".join(quoted(name) for name in names)
