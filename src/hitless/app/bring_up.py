"""Has every service of the file running and reached: at the first `up`, and after a `down`."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hitless.app.facts import Facts
from hitless.app.launches import Launches, missing
from hitless.app.world import World
from hitless.kit.errors import HitlessError, InvalidInput
from hitless.kit.files import write_atomic
from hitless.plan.instances import SLOTS, InstanceId, Slot
from hitless.plan.ports import Moment, StepFailed
from hitless.plan.system import Service, System
from hitless.runtime.steps import Launch, Start
from hitless.traffic.steps import Admit, Routing


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Instances of one slot that must run."""

    slot: Slot
    numbers: tuple[int, ...]
    launch: Launch
    admitted: bool  # False: kept for an instant return, or not reached by anybody yet


class Resting:
    """What ran at the last `down`; the next `up` brings it back."""

    def __init__(self, state: Path) -> None:
        self._file = state / "resting.json"

    def write(self, instances: Mapping[InstanceId, Launch]) -> None:
        """Remember what runs."""
        plain = [{"instance": str(instance), "launch": launch.to_data()} for instance, launch in instances.items()]
        write_atomic(self._file, json.dumps(plain))

    def read(self) -> dict[InstanceId, Launch]:
        """Return what is remembered."""
        if not self._file.exists():
            return {}
        plain: list[dict[str, Any]] = json.loads(self._file.read_text())
        return {InstanceId.parse(each["instance"]): Launch.from_data(each["launch"]) for each in plain}

    def forget(self) -> None:
        """From here on the processes themselves say what runs."""
        self._file.unlink(missing_ok=True)


async def bring_up(
    system: System,
    facts: Facts,
    world: World,
    launches: Launches,
    resting: Resting,
    schemas: Mapping[str, str | None],
) -> list[str]:
    """Start what does not run; returns the services that were started. Raises HitlessError.

    `schemas` says by database on which schema version a service begins that did not run before.
    """
    rest = resting.read()
    routings, places = await world.gateway.routings(), await world.gateway.places()
    wanted: dict[str, list[Standing]] = {}
    for name in system.callees_first():
        now = facts.services.get(name)
        if now is None or now.baseline is None or any(instance.service == name for instance in rest):
            fresh = partial(launches.of, schema=schemas.get(system.services[name].database or ""))
            wanted[name] = _standing(name, system, fresh, routings.get(name), rest, set(places))
    for standings in wanted.values():
        _refuse_missing(standings)
    await asyncio.gather(*(_start(standings, world) for standings in wanted.values()))
    await asyncio.gather(*(_reach(name, standings, routings.get(name), world) for name, standings in wanted.items()))
    resting.forget()
    return list(wanted)


def _standing(
    name: str,
    system: System,
    fresh: Callable[[str, Service, str], Launch],
    routing: Routing | None,
    rest: Mapping[InstanceId, Launch],
    places: set[InstanceId],
) -> list[Standing]:
    section = system.services[name]
    mine = {instance: launch for instance, launch in rest.items() if instance.service == name}
    if routing is None or not mine:
        launch = fresh(name, section, _version(section.version, routing))
        slot: Slot = routing.baseline if routing else "a"
        return [Standing(slot=slot, numbers=tuple(range(1, section.instances + 1)), launch=launch, admitted=True)]
    standings = []
    for slot, admitted in ((slot, admitted) for slot in SLOTS for admitted in (True, False)):
        numbers = tuple(sorted(each.number for each in mine if each.slot == slot and (each in places) is admitted))
        if numbers:
            launch = mine[InstanceId(name, slot, numbers[0])]
            standings.append(Standing(slot=slot, numbers=numbers, launch=launch, admitted=admitted))
    return standings


def _version(of_file: str, routing: Routing | None) -> str:
    """The file says what the first `up` starts; later the gateway's files know better."""
    return (routing.version(routing.baseline) if routing else "") or of_file


def _refuse_missing(standings: list[Standing]) -> None:
    for standing in standings:
        if (lacking := missing(standing.launch)) is not None:
            raise InvalidInput(lacking.code, lacking.text, lacking.hint)


async def _start(standings: list[Standing], world: World) -> None:
    for standing in standings:
        step = Start(slot=standing.slot, numbers=standing.numbers, launch=standing.launch)
        try:
            if not await world.runtime.done(step, _moment(world)):
                await world.runtime.do(step, _moment(world))
        except StepFailed as failure:
            for instance in step.instances:
                await world.processes.stop(instance, standing.launch.grace_s)
            raise HitlessError(failure.code, failure.text, failure.hint) from None


async def _reach(name: str, standings: list[Standing], routing: Routing | None, world: World) -> None:
    """Send requests to the instances, then say who meets which version: what was in force, or everybody the first."""
    for standing in standings:
        if standing.admitted:
            admit = Admit(service=name, slot=standing.slot, numbers=standing.numbers)
            await world.traffic.do(admit, _moment(world))
    if routing is None or not routing.version(routing.baseline):
        first = standings[0]
        routing = Routing(service=name, baseline=first.slot).with_version(first.slot, first.launch.version)
    await world.gateway.route(routing)


def _moment(world: World) -> Moment:
    async def note(_: dict[str, object]) -> None:
        """An `up` is no run; its remarks are not kept."""

    return Moment(run="up", position=0, started_at=world.clock.now(), note=note)
