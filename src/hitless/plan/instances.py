"""Names of what runs: the two slots of a service, and the instances in them. Pure."""

import re
from dataclasses import dataclass
from typing import Literal, Self

Slot = Literal["a", "b"]  # the gateway has two places per service: one for each version that can be live at once
SLOTS: tuple[Slot, Slot] = ("a", "b")

INSTANCES_LIMIT = (
    32  # instances of one version; the gateway keeps that many places ready, so that no step needs a reload
)
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}(?:-[a-z0-9_]+)*")  # it reaches HAProxy's configuration
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")

_ID = re.compile(r"(?P<service>.+)-(?P<slot>[ab])(?P<number>[1-9]\d?)")


def other(slot: Slot) -> Slot:
    """Return the slot beside this one."""
    return "b" if slot == "a" else "a"


@dataclass(frozen=True, slots=True, order=True)
class InstanceId:
    """One place for a process, written `orders-b2`: the second of the version in slot b of orders."""

    service: str
    slot: Slot
    number: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `orders-b2`. Raises ValueError."""
        match = _ID.fullmatch(text)
        if match is None or NAME.fullmatch(match["service"]) is None:
            raise ValueError(f"{text!r} names no instance")
        return cls(match["service"], "a" if match["slot"] == "a" else "b", int(match["number"]))

    def __str__(self) -> str:
        return f"{self.service}-{self.slot}{self.number}"
