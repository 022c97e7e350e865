"""Files that a user names on the command line."""

from pathlib import Path

from hitless.kit.errors import InvalidInput


def read_text(file: Path) -> str:
    """Read a file. Raises InvalidInput `no-such-file`."""
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput("no-such-file", f"{file} cannot be read: {error}") from None
