"""Files of pgroll become migrations: their operations are ours, what changes is the name. Pure."""

import json
import re
from collections.abc import Iterable
from itertools import pairwise
from pathlib import PurePath

from hitless.database.migration import Migration
from hitless.kit.errors import InvalidInput
from hitless.plan.document import written

NAME_LIMIT = 48  # characters behind the number, as a change may name them
_NUMBERED = re.compile(r"([0-9]{1,14})_(.+)")
_STAMPED = re.compile(r"\d+_(.+)")
SUFFIXES = (".yaml", ".yml", ".json")


def translated(files: Iterable[tuple[str, str]], *, after: int = 0) -> tuple[Migration, ...]:
    """Turn pgroll's files (name and text, in the order in which pgroll runs them) into migrations, one for each.

    They keep their numbers where these grow and lie behind `after`; else they are numbered on from there.
    Raises InvalidInput for the first file that is none, with file, line and path.
    """
    given = [(PurePath(name).stem, _text(name, text)) for name, text in files]
    numbers = [int(found[1]) if (found := _NUMBERED.fullmatch(stem)) else 0 for stem, _ in given]
    if not all(one < two for one, two in pairwise([after, *numbers])):
        numbers = list(range(after + 1, after + 1 + len(given)))
    migrations = tuple(
        Migration(name=f"{number:04d}_{_word(stem)}", text=text)
        for number, (stem, text) in zip(numbers, given, strict=True)
    )
    for migration in migrations:
        migration.read()
    return migrations


def _text(name: str, text: str) -> str:
    if not name.endswith(".json"):
        return text
    try:
        content = json.loads(text)
    except ValueError as error:
        raise InvalidInput("broken-json", f"{name}: {error}") from None
    if not isinstance(content, dict):
        raise InvalidInput("broken-json", f"{name}: this is no mapping of keys to values")
    return written(content)


def _word(stem: str) -> str:
    found = _STAMPED.fullmatch(stem)
    return re.sub(r"[^A-Za-z0-9_-]", "_", found[1] if found else stem)[:NAME_LIMIT]
