"""What doctor has looked at."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    ok: bool
    code: str
    text: str
    hint: str = ""

    def to_json(self) -> dict[str, Any]:
        """Write the finding as plain data."""
        return asdict(self)
