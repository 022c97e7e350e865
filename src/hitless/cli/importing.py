"""What all imports tell and write in the same way."""

from collections.abc import Sequence
from pathlib import Path

from hitless.app.imports.outcome import Left
from hitless.cli.output import say
from hitless.kit.errors import InvalidInput, Refused


def write_new(file: Path, text: str) -> None:
    """Write a file that is not there yet. Raises Refused `file-exists`, InvalidInput `cannot-write`."""
    try:
        with file.open("x") as opened:
            opened.write(text)
    except FileExistsError:
        raise Refused("file-exists", f"{file} exists already", "name another file, or remove it") from None
    except OSError as error:
        raise InvalidInput("cannot-write", f"{file} cannot be written: {error}") from None


def tell_left(left: Sequence[Left]) -> None:
    """Name on stderr what did not translate, one line each, with what to do about it."""
    if left:
        say(f"{len(left)} things did not translate:")
    for each in left:
        say(f"  {each.code}: {each.where}: {each.text}" + (f"\n    hint: {each.hint}" if each.hint else ""))
