"""The URL by which a service meets its own schema version. Pure."""

import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

from hitless.database.names import PUBLIC, application_of, quoted, schema_of

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
    parts = urlsplit(url)
    pairs = dict(parse_qsl(parts.query, keep_blank_values=True))
    given = _GIVEN.search(pairs.get("options", ""))
    behind = [each.strip() for each in given["path"].replace("\\ ", " ").split(",")] if given else [PUBLIC]
    space = behind[0].strip('"')
    kept = _GIVEN.sub("", pairs.get("options", "")).strip()
    pairs["options"] = f"{kept} -csearch_path={_path(version, space, behind)}".strip()
    pairs["application_name"] = application_of(version, space)
    query = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs.items())
    rebuilt = urlunsplit(("", "", parts.path, query, parts.fragment))
    return f"{parts.scheme}://{parts.netloc}{rebuilt}"


def _path(version: str, space: str = PUBLIC, behind: Iterable[str] = (PUBLIC,)) -> str:
    return ",".join((quoted(schema_of(version, space)), *behind)).replace("\\", "\\\\").replace(" ", "\\ ")
