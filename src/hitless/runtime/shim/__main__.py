"""`python -I -S .../shim/__main__.py FOLDER` starts the shim of a process folder; returns once the process was started.

Exit code: 0 it runs under a shim (this one, or one that was there before); 4 there is no spec that could be read.
"""

import os
import sys

if __package__ in (None, ""):  # run by its path: make the absolute imports below work without site-packages
    sys.path.insert(0, os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 3)))  # noqa: PTH100, PTH118, PTH120

from hitless.runtime.shim.loop import Shim
from hitless.runtime.shim.records import NoSpec, take_lock

STARTED = b"s"


def main(folder: str) -> int:
    """Fork the shim away from its caller and wait until it has something to say."""
    hear, say = os.pipe()
    if os.fork() == 0:
        os.close(hear)
        os.setsid()
        if os.fork() == 0:
            _live(folder, say)
        os._exit(0)
    os.close(say)
    os.wait()
    return 0 if os.read(hear, 1) == STARTED else 4


def _live(folder: str, say: int) -> None:
    """Be the shim until its process is stopped for good; never returns."""
    code = 1
    try:
        _leave_stdio()
        lock = take_lock(folder)
        if lock is None:  # somebody else's shim holds the folder: there must not be a second one
            os.write(say, STARTED)
            os._exit(0)
        shim = Shim(folder)
        shim.begin()
        os.write(say, STARTED)
        os.close(say)
        shim.run()
        code = 0
    except NoSpec:
        code = 4
    finally:
        os._exit(code)


def _leave_stdio() -> None:
    """Let go of the caller's terminal and pipes."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.chdir("/")


if __name__ == "__main__":
    sys.exit(main(os.path.abspath(sys.argv[1])))  # noqa: PTH100
