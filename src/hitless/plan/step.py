"""What a step is: a frozen value that says what it does, what undoes it, and how it is written down. Pure."""

from dataclasses import asdict
from typing import Any, ClassVar, Protocol


class Step(Protocol):
    """One thing done to the running system: a frozen dataclass. Carrying it out is its room's business.

    A step without an inverse changes nothing (it waits, checks, watches); it may be cut short and begun again.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]
    room: ClassVar[str]
    kind: ClassVar[str]  # unique over all rooms; how the step is named in plans and journals

    def describe(self) -> str:
        """Say in one line what the step does."""
        ...

    def inverse(self) -> "Step | None":
        """Return the step that undoes this one; None where there is nothing to undo."""
        ...

    @property
    def point_of_no_return(self) -> bool:
        """Whether the inverse loses something."""
        ...


def encode(step: Step) -> dict[str, Any]:
    """Write a step as plain data: its kind and its fields."""
    return {"kind": step.kind, **asdict(step)}
