"""Shares of users and lengths of time, as the user writes them."""

import re
from dataclasses import dataclass
from typing import Self

BUCKETS = 10_000  # a share is a number of buckets: steps of 0.01 %

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SHARE = re.compile(r"(\d+(?:\.\d{1,2})?)\s*%")


@dataclass(frozen=True, slots=True, order=True)
class Share:
    """A share of the users of a service, as buckets out of 10,000."""

    buckets: int

    def __post_init__(self) -> None:
        if not 0 <= self.buckets <= BUCKETS:
            raise ValueError(f"{self.buckets} is no number of buckets from 0 to {BUCKETS}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `5%` or `0.01%`. Raises ValueError for anything else, above 100 % or finer than 0.01 %."""
        match = _SHARE.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"{text!r} is no percentage like 5% or 0.01%, the smallest")
        buckets = round(float(match[1]) * 100)
        if buckets > BUCKETS:
            raise ValueError(f"{text} is over 100%")
        return cls(buckets)

    @property
    def fraction(self) -> float:
        """The share as a number from 0 to 1."""
        return self.buckets / BUCKETS

    def __str__(self) -> str:
        return f"{self.buckets / 100:g}%"


NOBODY = Share(0)
EVERYBODY = Share(BUCKETS)


def parse_duration_s(text: str) -> float:
    """Read `500ms`, `10s`, `1m30s`, `1h` or `2d` as seconds. Raises ValueError for anything else."""
    if _DURATION.fullmatch(text) is None:
        raise ValueError(f"{text!r} is no duration like 500ms, 10s, 5m or 1h")
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))


def format_duration(seconds: float) -> str:
    """Write seconds as a person would: `500ms`, `10s`, `1m30s`, `1h`."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    parts, rest = [], round(seconds)
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts[:2])
