"""What must hold when the journal says that a step is done, or that a run is over."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol, TypeVar

from hitless.app.simulation.backing import Flags, Schema
from hitless.app.simulation.clock import VirtualClock
from hitless.app.simulation.front import Front
from hitless.app.simulation.machine import Machine
from hitless.app.simulation.stand import Stand, after_all
from hitless.app.simulation.telemetry import Telemetry
from hitless.app.simulation.told import Told
from hitless.flags.steps import Bake, Stage
from hitless.plan.instances import Slot
from hitless.plan.step import Step
from hitless.runtime.steps import Start, Stop
from hitless.signals.steps import Watch
from hitless.traffic.steps import Admit, Drain, Shift

T = TypeVar("T")

WINDOW_S, LEAST_REQUESTS = 5, 20  # of the circuit breaker, see signals/harm.py
SETTLING_S = 2  # the newest seconds may not have been told yet


class Seen(Protocol):
    """What the checker looks at."""

    clock: VirtualClock
    machine: Machine
    front: Front
    telemetry: Telemetry
    schemas: dict[str, Schema]
    flags: Flags
    drains: Mapping[str, float]  # service -> seconds that what is in flight gets

    def stand(self) -> Stand:
        """Return how the world stands now."""
        ...


def lacks(seen: Seen, step: Step) -> Iterator[str]:
    """Say what is not in force of a step that is called done."""
    match step:
        case Start() | Stop():
            yield from _processes_lack(seen, step)
        case Admit() | Drain() | Shift():
            yield from _traffic_lacks(seen, step)
        case Stage():
            late = seen.flags.slow(seen.clock.now())
            if late or seen.flags.served.get(step.flag, "") != step.after:
                yield f"{', '.join(late) or 'nobody'} has it"
        case _:
            pass


def _processes_lack(seen: Seen, step: Start | Stop) -> Iterator[str]:
    for each in step.instances:
        life = seen.machine.lives.get(each)
        if isinstance(step, Start):
            fits = life is not None and life.launch == step.launch
            if not fits or life is None or not (life.serves(seen.clock.now()) or life.restarts):
                yield f"{each} does not serve"
        elif life is not None and life.launch == step.launch and life.retire_at is None:
            yield f"{each} is still there"


def _traffic_lacks(seen: Seen, step: Admit | Drain | Shift) -> Iterator[str]:
    places = seen.front.places
    match step:
        case Admit():
            ready = {each for each, place in places.items() if place.state == "ready"}
            yield from (f"{each} takes no requests" for each in step.instances if each not in ready)
        case Drain():
            yield from (f"{each} is still known" for each in step.instances if each in places)
        case Shift() if seen.front.routings.get(step.after.service) != step.after:
            yield "another routing is in force"
        case _:
            pass


def unfounded(seen: Seen, told: Told, position: int) -> Iterator[str]:
    """Say why a watch must not have gone on: no data is not good data."""
    step = told.plan.steps[position]
    if not isinstance(step, Watch | Bake) or step.evidence == "none" or position in told.went_on:
        return
    first = math.ceil(told.began[position])
    seconds = [at for at in range(first, int(seen.clock.now())) if at not in seen.telemetry.lost]
    if len(seconds) < step.bake_s:
        yield f"{step.describe()}: went on after {len(seconds)} whole seconds"
    if isinstance(step, Bake):
        if not any(counts[2] for at in seconds for counts in seen.telemetry.arms.get(at, {}).values()):
            yield f"{step.describe()}: went on without a user"
        return
    if step.compares:
        for slot in (step.baseline, step.canary):
            if not any(_counts(seen, at, step, slot)[2] for at in seconds):
                yield f"{step.describe()}: went on without a user in slot {slot}"
    yield from _harmful(seen, step, seconds)


def _harmful(seen: Seen, step: Watch, seconds: list[int]) -> Iterator[str]:
    for begin in seconds:
        if begin + WINDOW_S > seconds[-1] - SETTLING_S:
            return
        counts = [_counts(seen, at, step, step.canary) for at in range(begin, begin + WINDOW_S)]
        requests, failed = sum(each[0] for each in counts), sum(each[1] for each in counts)
        if requests >= LEAST_REQUESTS and failed * 2 >= requests:
            yield f"{step.describe()}: went on though {failed} of {requests} requests failed"


def _counts(seen: Seen, at: int, step: Watch, slot: Slot) -> list[int]:
    return seen.telemetry.arms.get(at, {}).get((step.service, slot), [0, 0, 0, 0])


def not_whole(seen: Seen, told: Told, others: Iterable[Told], state: str) -> Iterator[str]:
    """Say what is wrong with the world when a run is over."""
    if state == "rollback-incomplete":
        return
    if told.open is not None:
        yield f"the run is {state} while {told.open.describe()} is open"
    target = told.start if state == "rolled-back" else after_all(told.start, told.plan.steps[: told.reached])
    theirs = {claim for run in others for claim in run.plan.claims} - {*told.plan.claims}
    yield from (f"{state}, and {what}" for what in target.differs(_without(seen.stand(), told.start, theirs)))


def _without(now: Stand, start: Stand, theirs: set[str]) -> Stand:
    """What other runs do beside this one is theirs."""
    if not theirs:
        return now
    running = {each: launch for each, launch in now.running.items() if each.service not in theirs}
    running |= {each: launch for each, launch in start.running.items() if each.service in theirs}
    ready = {each for each in now.ready if each.service not in theirs}
    return Stand(
        routings={name: start.routings[name] if name in theirs else each for name, each in now.routings.items()},
        running=running,
        ready=frozenset(ready | {each for each in start.ready if each.service in theirs}),
        schemas=_mine("database", now.schemas, start.schemas, theirs),
        flags=_mine("flag", now.flags, start.flags, theirs),
    )


def _mine(kind: str, now: Mapping[str, T], start: Mapping[str, T], theirs: set[str]) -> dict[str, T]:
    mine = {name: each for name, each in now.items() if f"{kind} {name}" not in theirs}
    return mine | {name: each for name, each in start.items() if f"{kind} {name}" in theirs}
