"""Files that survive a kill: written whole or not at all."""

import hashlib
import os
from pathlib import Path


def write_atomic(path: Path, content: bytes | str, *, mode: int = 0o600, to_disk: bool = True) -> None:
    """Replace `path` by `content`; a kill leaves the old file or the new one.

    After the return it is on disk. With `to_disk=False` it is in place, but a machine that loses power may be left with
    neither: for what is made again from something else.
    """
    encoded = content.encode() if isinstance(content, str) else content
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(encoded)
            file.flush()
            if to_disk:
                os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    if to_disk:
        _flush_folder(path.parent)


def _flush_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


SOCKET_PATH_LIMIT = 100  # bytes; AF_UNIX takes 107, and both HAProxy and PostgreSQL add a suffix


def socket_folder(state: Path) -> Path:
    """Return the folder for unix sockets: inside the state folder, or a private one when that path is too long."""
    inside = state / "run"
    if len(os.fsencode(inside)) + len("/.s.PGSQL.5432.lock") <= SOCKET_PATH_LIMIT:
        return inside
    digest = hashlib.sha256(os.fsencode(state.resolve())).hexdigest()[:16]
    return Path(f"/tmp/hitless-{os.getuid()}-{digest}")  # noqa: S108  made 0700 and checked by its maker
