"""Looks at the running system and writes down what it sees, for the planner and for `status`."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hitless.app.facts import Facts, Felt, Occupied, ServiceNow
from hitless.app.recent_ticks import recent_ticks
from hitless.app.world import World
from hitless.plan.instances import InstanceId, Slot
from hitless.runtime.ports import ProcessState
from hitless.signals.ports import Second
from hitless.traffic.steps import Routing

RATE_WINDOW_S = 60
FELT_WINDOW_S = 900
ENOUGH = 20  # requests of users, to say by them how many come now


async def observe(world: World, states: Mapping[InstanceId, ProcessState] | None = None) -> Facts:
    """Return what is in force right now; with the instances that were there a moment ago, if they are given."""
    states = await instance_states(world) if states is None else states
    routings = await world.gateway.routings()
    now = world.clock.now()
    seconds = await recent(world, now - FELT_WINDOW_S)
    return Facts(
        services={
            name: _service(name, routing, states)
            for name, routing in routings.items()
            if routing.version(routing.baseline)
        },
        requests_per_s=rates(seconds, now - RATE_WINDOW_S),
        felt=felt_by_users(seconds, now - RATE_WINDOW_S),
        long_connections=await _in_flight(world, states),
        resident_bytes=_resident(states),
        available_bytes=_meminfo("MemAvailable"),
    )


async def instance_states(world: World) -> dict[InstanceId, ProcessState]:
    """Return every instance that is there."""
    found = {}
    for instance in await world.processes.instances():
        if (state := await world.processes.state(instance)) is not None:
            found[instance] = state
    return found


def _service(name: str, routing: Routing, states: Mapping[InstanceId, ProcessState]) -> ServiceNow:
    slots: dict[Slot, Occupied] = {}
    for instance, state in sorted(states.items()):
        if instance.service == name:
            numbers = slots[instance.slot].numbers if instance.slot in slots else ()
            slots[instance.slot] = Occupied(launch=state.launch, numbers=(*numbers, instance.number))
    return ServiceNow(routing=routing, slots=slots)


def rates(seconds: Sequence[Second], since: float) -> dict[str, float]:
    """Return the requests per second of each service over the last minute."""
    counts: dict[str, int] = defaultdict(int)
    for second in seconds:
        for (service, _), arm in second.arms.items():
            counts[service] += arm.requests if second.at >= since else 0
    return {service: count / RATE_WINDOW_S for service, count in counts.items() if count}


def felt_by_users(seconds: Sequence[Second], since: float) -> dict[str, Felt]:
    """Return what the users of each service have felt, by the seconds in which nothing was lost.

    How many come now is counted since a moment, or over all seconds where few came since; how many are bad, over all.
    """
    intact = [second for second in seconds if not second.lost]
    of_late = [second for second in intact if second.at >= since]
    users, bad = _met(intact)
    now, _ = _met(of_late)
    return {
        service: Felt(
            users_per_s=now[service] / len(of_late) if now[service] >= ENOUGH else count / len(intact),
            users=count,
            bad=bad[service],
        )
        for service, count in users.items()
    }


def _met(seconds: Sequence[Second]) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Return the requests of users of each service, and how many of them were bad."""
    users: dict[str, int] = defaultdict(int)
    bad: dict[str, int] = defaultdict(int)
    for second in seconds:
        for (service, _), arm in second.arms.items():
            users[service] += arm.users
            bad[service] += arm.bad_users
    return users, bad


async def recent(world: World, since: float) -> list[Second]:
    """Return the closed seconds from `since` on."""
    return await recent_ticks(world.ticks, world.clock, since)


async def _in_flight(world: World, states: Mapping[InstanceId, ProcessState]) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for instance in await world.gateway.places():
        if instance in states:
            counts[instance.service] += await world.gateway.in_flight(instance)
    return dict(counts)


def _resident(states: Mapping[InstanceId, ProcessState]) -> dict[str, int]:
    largest: dict[str, int] = defaultdict(int)
    for instance, state in states.items():
        if state.pid is not None:
            largest[instance.service] = max(largest[instance.service], _resident_bytes(state.pid))
    return dict(largest)


def _resident_bytes(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return _kilobytes(status, "VmRSS")


def _meminfo(name: str) -> int:
    return _kilobytes(Path("/proc/meminfo").read_text(), name)


def _kilobytes(text: str, name: str) -> int:
    for line in text.splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) << 10
    return 0


def status_of(
    facts: Facts, states: Mapping[InstanceId, ProcessState], places: Mapping[InstanceId, Any]
) -> dict[str, Any]:
    """Write the services for `status`: versions with their share (0..1) and instances."""
    return {name: {"versions": _versions(name, now, states, places)} for name, now in sorted(facts.services.items())}


def _versions(
    name: str, now: ServiceNow, states: Mapping[InstanceId, ProcessState], places: Mapping[InstanceId, Any]
) -> list[dict[str, Any]]:
    versions = []
    for slot, occupied in sorted(now.slots.items()):
        instances = []
        for number in occupied.numbers:
            instance = InstanceId(name, slot, number)
            state = states[instance]
            instances.append({"id": str(instance), "pid": state.pid, "state": _word(state, instance in places)})
        share = now.routing.share_of(slot).fraction
        versions.append({"version": occupied.launch.version, "share": share, "instances": instances})
    return versions


def _word(state: ProcessState, admitted: bool) -> str:  # noqa: FBT001  two cases of one word
    if state.state != "running":
        return state.state
    if state.retire_at is not None:
        return "kept"
    return "serving" if admitted else "idle"
