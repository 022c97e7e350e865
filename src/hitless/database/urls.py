"""The URL by which a service meets its own schema version. Pure."""

from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

from hitless.database.names import application_of, quoted, schema_of


def version_parameters(version: str) -> str:
    """Return what chooses a schema version, as parameters of a libpq URL that is not known here.

    Options that the URL has already must be put before these.
    """
    pairs = {"options": f"-csearch_path={_path(version)}", "application_name": application_of(version)}
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in pairs.items())


def version_url(url: str, version: str) -> str:
    """Choose a schema version in a libpq URL: `options=-csearch_path=...`, public behind it for types and functions.

    Options that the URL has already stay; sessions are named `hitless/VERSION` so that they can be counted.
    """
    parts = urlsplit(url)
    pairs = dict(parse_qsl(parts.query, keep_blank_values=True))
    pairs["options"] = f"{pairs.get('options', '')} -csearch_path={_path(version)}".strip()
    pairs["application_name"] = application_of(version)
    query = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs.items())
    rebuilt = urlunsplit(("", "", parts.path, query, parts.fragment))
    return f"{parts.scheme}://{parts.netloc}{rebuilt}"


def _path(version: str) -> str:
    return f"{quoted(schema_of(version))},public".replace("\\", "\\\\").replace(" ", "\\ ")
