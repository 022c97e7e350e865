"""What can be done to the simulated world, as values, so that each can be held against what the journal says. Pure."""

from dataclasses import dataclass

from hitless.plan.instances import InstanceId
from hitless.runtime.steps import Launch
from hitless.traffic.steps import Routing


@dataclass(frozen=True, slots=True)
class Prepared:
    """An instance is wanted."""

    instance: InstanceId
    launch: Launch


@dataclass(frozen=True, slots=True)
class Launched:
    """An instance that is wanted gets its process."""

    instance: InstanceId


@dataclass(frozen=True, slots=True)
class Stopped:
    """An instance is asked to end."""

    instance: InstanceId


@dataclass(frozen=True, slots=True)
class Retired:
    """An instance may be ended later."""

    instance: InstanceId


@dataclass(frozen=True, slots=True)
class Checking:
    """A check is run against an instance."""

    instance: InstanceId


@dataclass(frozen=True, slots=True)
class Admitted:
    """An instance takes requests."""

    instance: InstanceId


@dataclass(frozen=True, slots=True)
class Drained:
    """An instance gets nothing new."""

    instance: InstanceId


@dataclass(frozen=True, slots=True)
class Removed:
    """The gateway forgets an instance."""

    instance: InstanceId


@dataclass(frozen=True, slots=True)
class Routed:
    """Users meet other versions."""

    routing: Routing


@dataclass(frozen=True, slots=True)
class Defined:
    """A flag is defined in another way; empty: it is gone."""

    flag: str
    definition: str


@dataclass(frozen=True, slots=True)
class Schemed:
    """A database goes to another phase of a schema change."""

    database: str
    version: str
    phase: str  # expanded, backfilled, verified, contracted, withdrawn


Effect = Prepared | Launched | Stopped | Retired | Checking | Admitted | Drained | Removed | Routed | Defined | Schemed
