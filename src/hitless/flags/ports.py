"""What the driver of this room asks of the flags: definitions, and who has seen which version. Pure."""

from typing import Protocol


class Flags(Protocol):
    """The default set, as it is served."""

    async def definition(self, flag: str) -> str:
        """Return a flag's definition as canonical JSON; empty if there is none."""
        ...

    async def put(self, flag: str, definition: str) -> str:
        """Define a flag, or remove it (empty); returns the version of the set once it is served."""
        ...

    async def version(self) -> str:
        """Return the version of the set that is served."""
        ...

    async def waiting_for(self, version: str) -> tuple[str, ...]:
        """Name the connected clients that have not yet this version."""
        ...
