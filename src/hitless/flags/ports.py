"""What the driver of this room asks of the flags: definitions, and who has seen which version. Pure."""

from collections.abc import Iterable
from typing import Protocol

from hitless.flags.languages import Seen


class Flags(Protocol):
    """The default set, as it is served."""

    async def definition(self, flag: str) -> str | None:
        """Return a flag's definition as canonical JSON, empty if there is none; None: what is stored is not served."""
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
