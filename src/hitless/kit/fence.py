"""Keeps a controller that was declared dead from touching the world.

A controller gets a new, higher epoch each time one takes over. Every effect runs inside `Fence.hold`, which takes the
file lock and compares epochs: whoever comes with a lower one is refused, however late it wakes up.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hitless.kit.errors import Abandon
from hitless.kit.files import write_atomic


class Fenced(Abandon):
    """A newer controller has taken over; this one must stop at once."""


class Fence:
    """The right of one epoch to change what lies in one state folder."""

    def __init__(self, folder: Path, epoch: int, *, patience_s: float = 5.0) -> None:
        self.epoch = epoch
        self._lock = folder / "fence.lock"
        self._file = folder / "epoch"
        self._patience_s = patience_s

    def raise_epoch(self) -> None:
        """Shut out every lower epoch from now on. Raises Fenced if a higher one is already there."""
        with self._locked():
            self._refuse_if_lower()
            write_atomic(self._file, str(self.epoch))

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Run one effect; raises Fenced before it if a newer controller is there. Not reentrant."""
        with self._locked():
            self._refuse_if_lower()
            yield

    def check(self) -> None:
        """Raise Fenced if a newer controller is there; for an effect under a lock of its own, where it takes place."""
        self._refuse_if_lower()

    def _refuse_if_lower(self) -> None:
        newest = int(self._file.read_text()) if self._file.exists() else 0
        if newest > self.epoch:
            raise Fenced("fenced", f"epoch {self.epoch} was replaced by {newest}", "stop this controller")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._acquire(descriptor)
            yield
        finally:
            os.close(descriptor)

    def _acquire(self, descriptor: int) -> None:
        deadline = time.monotonic() + self._patience_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Fenced(
                        "fence-busy",
                        f"another process has held {self._lock} for {self._patience_s:g} s",
                        "it is stopped or hanging: end it, the run then goes on",
                    ) from None
                time.sleep(0.005)
            else:
                return
