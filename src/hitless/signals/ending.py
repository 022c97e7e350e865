"""How a watch ends, or that it does not yet. Pure."""

from dataclasses import dataclass

from hitless.plan.ports import StepFailed


@dataclass(frozen=True, slots=True, kw_only=True)
class GoOn:
    """The step is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoBack:
    """The new version must not stay."""

    failure: StepFailed


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """Watch on."""

    holds: bool  # longer than the bake: evidence is missing
    needs: str  # what is still missing, in words


Decision = GoOn | GoBack | Stay
