"""What the driver of this room asks of the world: definitions, who has seen which version, what users feel. Pure."""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Protocol

from hitless.flags.languages import Seen


class Flags(Protocol):
    """The default set, as it is served."""

    async def definition(self, flag: str) -> str:
        """Return a flag's definition as canonical JSON, empty if there is none."""
        ...

    async def served(self) -> bool:
        """Tell whether what is defined is what is served: not so after a kill between the two."""
        ...

    async def put(self, flag: str, definition: str, why: str) -> str:
        """Define a flag, or remove it (empty); returns the version of the sets once it is served."""
        ...

    async def version(self) -> str:
        """Return the version of the sets that are served."""
        ...

    async def clients(self) -> Iterable[Seen]:
        """Return the connected clients, each with the version it has."""
        ...

    async def refuse_other_languages(self, flag: str) -> None:
        """Raise Refused `flag-bucketing` if a connected client would split the users of this flag in another way."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class UserSecond:
    """What the users of one service felt in one closed second."""

    at: int  # seconds since the epoch
    service: str
    users: int
    bad_users: int
    lost: bool = False  # records were dropped: no evidence


class Users(Protocol):
    """What users feel, second by second."""

    def follow(self, since: float, services: tuple[str, ...]) -> AsyncIterator[list[UserSecond]]:
        """Yield what has come since the last look, again and again, empty when nothing has; never ends.

        Seconds come in order and once each, from `since` on, as far back as they are known.
        """
        ...
