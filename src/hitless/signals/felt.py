"""What the users of one version have felt since a step began. Pure."""

from dataclasses import asdict, dataclass

from hitless.plan.instances import Slot
from hitless.signals.harm import NOTHING
from hitless.signals.ports import Second


@dataclass(slots=True)
class Arm:
    """What one arm has felt since the step began, over the seconds that are evidence."""

    requests: int = 0
    failed: int = 0
    users: int = 0
    bad_users: int = 0

    def count(self, second: Second, service: str, slot: Slot) -> None:
        """Add a second."""
        arm = second.arms.get((service, slot), NOTHING)
        self.requests += arm.requests
        self.failed += arm.failed
        self.users += arm.users
        self.bad_users += arm.bad_users

    def numbers(self) -> dict[str, int]:
        """Write them down."""
        return asdict(self)


def missing_in(arm: Arm, name: str, hint: str = "") -> list[str]:
    """Say what an arm still needs to be observed; nothing once a user was met in it."""
    return [] if arm.users else [f"1 more user in the {name}{hint}"]
