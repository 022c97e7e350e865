"""Which users meet a version: the same number in HAProxy (`crc32` without argument) and here. Pure."""

import zlib

from hitless.kit.units import BUCKETS


def bucket(user: str, salt: str) -> int:
    """Return the place of a user among 0..9999. CRC-32 of IEEE 802.3 over user and salt, as HAProxy's `crc32`."""
    return zlib.crc32((user + salt).encode("utf-8", "surrogateescape")) % BUCKETS
