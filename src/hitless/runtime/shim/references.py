"""Values of the environment that are named in a spec and looked up at each start, so that they are written nowhere."""

PASSED_ON = ("PATH", "HOME", "LANG")  # all that a process sees of our own environment
_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"


class Unresolved(Exception):
    """A reference names something that is not there."""


def resolve(value: str, ours: dict[str, str]) -> str:
    """Look up `env:NAME` and `file:PATH`; return anything else as it is. Raises Unresolved.

    `env:NAME&key=value` adds a parameter to the URL found there, and so does `file:PATH&options=...`. One newline at
    the end of a file is left out.
    """
    if value.startswith("env:"):
        name, _, parameters = value.removeprefix("env:").partition("&")
        if name not in ours:
            raise Unresolved(f"the environment variable {name} is not set where hitless was started")
        return _with_parameters(ours[name], parameters)
    if value.startswith("file:"):
        path, mark, parameters = value.removeprefix("file:").partition("&options=")
        try:
            with open(path, encoding="utf-8") as file:  # noqa: PTH123  see the folder's docstring
                return _with_parameters(file.read().removesuffix("\n"), mark[1:] + parameters)
        except (OSError, UnicodeDecodeError) as error:
            raise Unresolved(f"{path} cannot be read: {error}") from error
    return value


def _with_parameters(url: str, parameters: str) -> str:
    if not parameters:
        return url
    address, _, known = url.partition("?")
    pairs = [pair for pair in known.split("&") if pair]
    for wanted in parameters.split("&"):
        name, _, value = wanted.partition("=")
        before = next((each for each in pairs if each.startswith(f"{name}=")), None)
        if before is not None:
            pairs.remove(before)
        added_up = before is not None and name == "options"  # of any other, libpq takes the last
        pairs.append(f"{before}%20{value}" if added_up else wanted)
    return f"{address}?{'&'.join(pairs)}"


def environment(wanted: dict[str, str], ours: dict[str, str], *, inherit: bool) -> dict[str, str]:
    """Return the whole environment of a process. Raises Unresolved."""
    passed = ours if inherit else {name: ours[name] for name in PASSED_ON if name in ours}
    return {"PATH": _DEFAULT_PATH, **passed, **{name: resolve(value, ours) for name, value in wanted.items()}}
