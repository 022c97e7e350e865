"""Bounding the log of a process that writes straight to its file.

The process keeps its descriptor (O_APPEND), so there is no pipe that could break or block. A full log is copied to
`log.1` and then cut off at the front (FALLOC_FL_COLLAPSE_RANGE, ext4 and xfs): what is written meanwhile stays. On
other file systems it is emptied instead: what is written while it is being copied is lost.
"""
# ruff: noqa: PTH105, PTH110, PTH123, PTH202  see the folder's docstring

import contextlib
import ctypes
import os

BLOCK = 4096
COLLAPSE_RANGE = 8
CHUNK = 1 << 20


def begin_anew(log: str, files: int) -> None:
    """Put the log of the last process aside, so that this one's starts empty."""
    if os.path.exists(log) and os.path.getsize(log):
        _push_back(log, files)
        os.replace(log, f"{log}.1") if files > 1 else os.truncate(log, 0)


def keep_within(log: str, limit: int, files: int) -> None:
    """Move what is in the log to `log.1` once it is over the limit (bytes); `files` counts the log itself."""
    try:
        size = os.path.getsize(log)
    except FileNotFoundError:
        return
    if size < limit:
        return
    with open(log, "r+b", buffering=0) as source:
        whole = (size - 1) // BLOCK * BLOCK
        with contextlib.suppress(OSError):  # a full disk must not end the shim: then the oldest lines are given up
            _keep(log, source.fileno(), whole, files)
        if not _cut_front(source.fileno(), whole):
            source.truncate(0)


def _keep(log: str, source: int, whole: int, files: int) -> None:
    if files <= 1:
        return
    _push_back(log, files)
    target = os.open(f"{log}.1", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        _copy(source, target, whole)
    finally:
        os.close(target)


def _push_back(log: str, files: int) -> None:
    for number in range(files - 1, 1, -1):
        if os.path.exists(f"{log}.{number - 1}"):
            os.replace(f"{log}.{number - 1}", f"{log}.{number}")


def _copy(source: int, target: int, length: int) -> None:
    """Copy that many bytes from where both files stand."""
    left = length
    while left > 0 and (piece := os.read(source, min(CHUNK, left))):
        os.write(target, piece)
        left -= len(piece)


def _cut_front(descriptor: int, length: int) -> bool:
    fallocate = ctypes.CDLL(None, use_errno=True).fallocate
    fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return length == 0 or bool(fallocate(descriptor, COLLAPSE_RANGE, 0, length) == 0)
