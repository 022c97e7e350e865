"""A verdict as bytes, and back: every later decision is the same, bit by bit."""

import json
import zlib
from collections.abc import Sequence
from typing import Any

from hitless.verdict.business import Business
from hitless.verdict.errors import Errors
from hitless.verdict.exchangeable import Exchangeable
from hitless.verdict.guard import Guard
from hitless.verdict.latency import Latency
from hitless.verdict.processes import Crashes, Saturation
from hitless.verdict.samples import SampleRatio

FORMAT = 2
DUMP_LIMIT = 64 * 1024  # bytes
TEXT_LIMIT = 4 * 1024 * 1024  # bytes that a dump can hold once it is unpacked
NO_DUMP = (KeyError, IndexError, TypeError, AttributeError, ArithmeticError, RecursionError)  # what foreign data gives
FULLEST = {"Latency": 2_500, "Exchangeable": 5_000}  # bytes that one of a kind takes at most, with 256 parts
ANY_OTHER = 1_200
KINDS: dict[str, type[Any]] = {
    kind.__name__: kind for kind in (Business, Crashes, Errors, Exchangeable, Latency, SampleRatio, Saturation)
}


def checked_guards(guards: Sequence[Guard]) -> None:
    """Raise TypeError for what is no guard, ValueError for none at all or two of one name."""
    if strange := [each for each in guards or () if not isinstance(each, tuple(KINDS.values()))]:
        raise TypeError(f"{strange[0]!r} is no guard: {', '.join(KINDS)}")
    if not guards or len({guard.name for guard in guards}) != len(guards):
        raise ValueError("a verdict needs at least one guard, and names that differ")
    fullest = sum(FULLEST.get(type(guard).__name__, ANY_OTHER) for guard in guards)
    if fullest > DUMP_LIMIT:
        raise ValueError(f"{len(guards)} guards may take {fullest} bytes to keep; a verdict has at most {DUMP_LIMIT}")


def encode(guards: Sequence[Guard], state: dict[str, Any]) -> bytes:
    """Return guards and state as bytes. Floats are written so that they come back exactly."""
    described = [{"kind": type(guard).__name__, **guard.described()} for guard in guards]
    document = {"format": FORMAT, "guards": described, **state}
    return zlib.compress(json.dumps(document, separators=(",", ":")).encode(), 6)


def decode(data: bytes) -> tuple[list[Guard], dict[str, Any]]:
    """Return guards and state that were encoded; raises ValueError for bytes that are not."""
    try:
        document = json.loads(_whole(data))
        if document["format"] != FORMAT:
            raise ValueError(f"a verdict of format {document['format']}; this is format {FORMAT}")
        guards: list[Guard] = [KINDS[each.pop("kind")](**each) for each in document.pop("guards")]
    except (zlib.error, UnicodeDecodeError, *NO_DUMP) as error:
        raise ValueError(f"this is no dumped verdict: {error!r}") from error
    return guards, document


def _whole(data: bytes) -> bytes:
    """Decompress data that ends where it says; raises zlib.error for less, and for more behind it."""
    stream = zlib.decompressobj()
    text = stream.decompress(data, TEXT_LIMIT)
    if not stream.eof or stream.unused_data:
        raise zlib.error("it was cut short" if not stream.eof else f"{len(stream.unused_data)} bytes stand behind it")
    return text
