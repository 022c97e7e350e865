"""A part of all users, drawn by nothing that a version could change, so that memory is bounded in a long test. Pure."""

from collections.abc import MutableMapping
from typing import TypeVar

Value = TypeVar("Value")


class Sample:
    """One user in `one_in`: all of them at first, and half as many each time the memory is full.

    A user is drawn by a hash with a key of this process, not by the bucket that the gateway chooses the version by.
    """

    __slots__ = ("one_in",)

    def __init__(self) -> None:
        self.one_in = 1

    def __contains__(self, user: str) -> bool:
        return not hash(user) & (self.one_in - 1)

    def make_room(self, users: MutableMapping[str, Value], limit: int) -> None:
        """Forget users until fewer than `limit` are left: every second one of both arms, and they do not come back."""
        while len(users) >= limit:
            self.one_in *= 2
            for user in [user for user in users if user not in self]:
                del users[user]
