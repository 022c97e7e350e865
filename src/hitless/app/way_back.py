"""Whether the way back of a run that came to rest is still there, asked when somebody wants to go it. Pure."""

from collections.abc import Callable, Iterator

from hitless.app.facts import Facts
from hitless.plan.plan import Refusal
from hitless.plan.step import Step
from hitless.runtime.steps import Launch, Start

HEADROOM = 1.25  # of the memory that instances use now: those that are started again begin cold and grow

Missing = Callable[[Launch], Refusal | None]  # what a launch needs and this machine lacks


def against_going_back(done: tuple[Step, ...], facts: Facts, missing: Missing) -> Iterator[Refusal]:
    """Yield what has changed since the run went forward: a release that is gone, memory that is used by others."""
    starts = [inverse for step in done if isinstance(inverse := step.inverse(), Start)]
    lacking = [(start, _still_missing(start, facts)) for start in starts]
    for start, numbers in lacking:
        if numbers and (refusal := missing(start.launch)) is not None:
            yield refusal
    needed = int(
        sum(facts.resident_bytes.get(start.launch.service, 0) * len(numbers) for start, numbers in lacking) * HEADROOM
    )
    if needed > facts.available_bytes:
        count = sum(len(numbers) for _, numbers in lacking)
        yield Refusal(
            code="no-capacity",
            text=f"{count} old instances would be started again and need about {needed >> 20} MiB; "
            f"{facts.available_bytes >> 20} MiB are free",
            hint="free memory, then roll back",
        )


def _still_missing(start: Start, facts: Facts) -> tuple[int, ...]:
    """Return the instances that do not run any more; those that are kept for an instant return do."""
    now = facts.services.get(start.launch.service)
    there = now.slots.get(start.slot) if now is not None else None
    running = there.numbers if there is not None and there.launch == start.launch else ()
    return tuple(number for number in start.numbers if number not in running)
