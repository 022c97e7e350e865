"""Reads who is in which group: the users of the system file and of the files that it names."""

from collections.abc import Mapping
from pathlib import Path

from hitless.kit.errors import InvalidInput
from hitless.plan.system import System

USERS_LIMIT = 100_000  # of one file


def read_groups(system: System, folder: Path) -> Mapping[str, tuple[str, ...]]:
    """Return the users of each group. A file has one user a line; empty lines and those after # are passed over.

    Raises InvalidInput for a file that cannot be read.
    """
    return {
        name: (*group.users, *(_read(folder / group.file, name) if group.file else ()))
        for name, group in system.groups.items()
    }


def _read(file: Path, group: str) -> tuple[str, ...]:
    try:
        lines = [line.strip() for line in file.read_text().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput("no-group-file", f"groups.{group}.file: {file} cannot be read: {error}") from None
    users = tuple(line for line in lines if line and not line.startswith("#"))
    if len(users) > USERS_LIMIT:
        raise InvalidInput("group-too-large", f"{file} has {len(users)} users; {USERS_LIMIT} is the limit")
    return users
