"""The URL by which a service meets its own schema version. Pure."""

import re
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

from hitless.database.names import PUBLIC, application_of, quoted, schema_of, schemas_in

_GIVEN = re.compile(r"(?:-c\s*|--)search_path=(?P<path>(?:\\.|[^\s\\])+)")


def version_parameters(url: str) -> str:
    """Return what chooses a schema version in such a URL, as parameters for a URL that is only referred to."""
    pairs = dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
    return "&".join(f"{name}={quote(pairs[name], safe='')}" for name in ("options", "application_name"))


def version_url(url: str, version: str) -> str:
    """Choose a schema version in a libpq URL: `options=-csearch_path=...`, the base schema behind it for types.

    Options that the URL has already stay; a search_path in them names the schema of the base tables and further ones,
    which stay behind the version. Sessions are named `hitless/VERSION` so that they can be counted.
    """
    given = _GIVEN.search(dict(parse_qsl(urlsplit(url).query)).get("options", ""))
    behind = schemas_in(re.sub(r"\\(.)", r"\1", given["path"])) if given else [PUBLIC]
    space = _named(behind[0])
    path = ",".join((quoted(schema_of(version, space)), *behind))
    return resolving(url, path, application_name=application_of(version, space))


def resolving(url: str, path: str, **more: str) -> str:
    """Choose the search_path of a libpq URL, in place of one that it has; its other options stay."""
    parts = urlsplit(url)
    pairs = dict(parse_qsl(parts.query, keep_blank_values=True))
    kept = _GIVEN.sub("", pairs.get("options", "")).strip()
    escaped = path.replace("\\", "\\\\").replace(" ", "\\ ")
    pairs |= {"options": f"{kept} -csearch_path={escaped}".strip(), **more}
    query = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs.items())
    rebuilt = urlunsplit(("", "", parts.path, query, parts.fragment))
    return f"{parts.scheme}://{parts.netloc}{rebuilt}"


def _named(word: str) -> str:
    """Return the schema that a word of a search_path means."""
    return word[1:-1].replace('""', '"') if word.startswith('"') else word.lower()
