"""Values of the environment that are named in a spec and looked up at each start, so that they are written nowhere."""

PASSED_ON = ("PATH", "HOME", "LANG")  # all that a process sees of our own environment
_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"


class Unresolved(Exception):
    """A reference names something that is not there."""


def resolve(value: str, ours: dict[str, str]) -> str:
    """Look up `env:NAME` and `file:PATH`; return anything else as it is. Raises Unresolved.

    `env:NAME&key=value` adds a parameter to the URL found there. One newline at the end of a file is left out.
    """
    if value.startswith("env:"):
        name, _, parameters = value.removeprefix("env:").partition("&")
        if name not in ours:
            raise Unresolved(f"the environment variable {name} is not set where hitless was started")
        return _with_parameters(ours[name], parameters)
    if value.startswith("file:"):
        path = value.removeprefix("file:")
        try:
            with open(path, encoding="utf-8") as file:  # noqa: PTH123  see the folder's docstring
                return file.read().removesuffix("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise Unresolved(f"{path} cannot be read: {error}") from error
    return value


def _with_parameters(url: str, parameters: str) -> str:
    if not parameters:
        return url
    return url + ("&" if "?" in url else "?") + parameters


def environment(wanted: dict[str, str], ours: dict[str, str], *, inherit: bool) -> dict[str, str]:
    """Return the whole environment of a process. Raises Unresolved."""
    passed = ours if inherit else {name: ours[name] for name in PASSED_ON if name in ours}
    return {"PATH": _DEFAULT_PATH, **passed, **{name: resolve(value, ours) for name, value in wanted.items()}}
