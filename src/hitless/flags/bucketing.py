"""From a bucket key to a 32-bit hash, in the two generations that live flagd clients use.

v3: murmur3-32 of the canonical CBOR encoding of the key (Python's flagd-core 2). v2: murmur3-32 of the raw UTF-8 text
(flagd in Go, Node's flagd-core 4). Source: flagd, ADR fractional-non-string-rand-units. The two put the same user into
different buckets, so a set of flags is pinned to one of them.
"""

from collections.abc import Callable
from typing import Any, Literal

import cbor2
import mmh3

Bucketing = Literal["v2", "v3"]

NO_HASH = -1  # there is no key to hash, or it cannot be encoded: the rule answers nothing

_digest: Callable[[bytes], int] = mmh3.mmh3_32_uintdigest
_SHORT = tuple(bytes([0x60 + length]) for length in range(24))
_ONE_BYTE = tuple(bytes([0x78, length]) for length in range(256))


def hash_v2(key: Any) -> int:
    """Hash a text by generation v2; `NO_HASH` for anything else."""
    if not isinstance(key, str):
        return NO_HASH
    try:
        return _digest(key.encode())
    except UnicodeEncodeError:
        return NO_HASH


def hash_v3(key: Any) -> int:
    """Hash a text, number, bool, list or object by generation v3; `NO_HASH` where CBOR has no form for it."""
    if key.__class__ is not str:
        return _hash_encoded(key)
    try:
        encoded = key.encode()
    except UnicodeEncodeError:
        return NO_HASH
    length = len(encoded)
    if length < 24:
        return _digest(_SHORT[length] + encoded)
    return _digest(_ONE_BYTE[length] + encoded) if length < 256 else _hash_encoded(key)


def shorthand_key(bucketing: Bucketing, flag: str, targeting_key: str) -> Any:
    """Return what is hashed when a `fractional` names no bucket key: flag and user together."""
    return [flag, targeting_key] if bucketing == "v3" else flag + targeting_key


def hash_shorthand_v3(prefix: bytes, targeting_key: str) -> int:
    """Hash `[flag, targeting_key]` by v3 from the already encoded beginning, see `shorthand_prefix`."""
    try:
        encoded = targeting_key.encode()
    except UnicodeEncodeError:
        return NO_HASH
    length = len(encoded)
    if length < 24:
        return _digest(prefix + _SHORT[length] + encoded)
    return _digest(prefix + _ONE_BYTE[length] + encoded if length < 256 else prefix + cbor2.dumps(targeting_key))


def shorthand_prefix(flag: str) -> bytes:
    """Encode the beginning of the list of two that v3 hashes for a shorthand `fractional`."""
    return b"\x82" + cbor2.dumps(flag)


def _hash_encoded(key: Any) -> int:
    try:
        return _digest(cbor2.dumps(_whole_numbers(key), canonical=True))
    except (cbor2.CBOREncodeError, UnicodeEncodeError, RecursionError):
        return NO_HASH


def _whole_numbers(key: Any) -> Any:
    """Write 5.0 as 5: one client's integer is another one's double."""
    match key:
        case dict():
            return {name: _whole_numbers(value) for name, value in key.items()}
        case list() | tuple():
            return [_whole_numbers(value) for value in key]
        case float() if key.is_integer() and -(2**63) <= key <= 2**64 - 1:
            return int(key)
        case _:
            return key
