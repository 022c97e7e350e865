"""The real world of one controller: its rooms, wired together."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from hitless.app.databases import Databases
from hitless.app.flag_server import publisher
from hitless.app.flag_users import TickUsers
from hitless.app.logins import WithLogins
from hitless.app.throttle import UsersFirst
from hitless.database.driver import Accepted, DatabaseDriver, Person, nobody_said, nothing_accepted
from hitless.database.steps import Backfill, Contract, Expand, Switch, Verify, Withdraw
from hitless.flags.driver import FlagsDriver
from hitless.flags.postgres import Definitions
from hitless.flags.published import Published
from hitless.flags.steps import Bake, Stage
from hitless.kit.clock import SystemClock
from hitless.kit.fence import Fence
from hitless.kit.files import socket_folder
from hitless.plan.instances import InstanceId, Slot
from hitless.plan.ports import Clock, Driver, StepFailed
from hitless.plan.system import System
from hitless.runtime.driver import RuntimeDriver
from hitless.runtime.ports import Processes
from hitless.runtime.processes import LocalProcesses
from hitless.runtime.steps import Check, Start, Stop
from hitless.signals.driver import SignalsDriver
from hitless.signals.metrics import Counters, Source
from hitless.signals.otlp import OtlpMemory
from hitless.signals.ports import Evidence
from hitless.signals.prometheus import Prometheus
from hitless.signals.steps import Watch
from hitless.signals.ticks import RecorderTicks
from hitless.traffic.driver import TrafficDriver
from hitless.traffic.haproxy import HaproxyGateway
from hitless.traffic.steps import Admit, Drain, Shift

KINDS: Mapping[str, type[Any]] = {
    kind.kind: kind
    for kind in (
        *(Start, Stop, Check, Admit, Drain, Shift, Watch),
        *(Expand, Withdraw, Backfill, Verify, Switch, Contract),
        *(Stage, Bake),
    )
}


class ProcessPorts:
    """Knows where instances listen, from their processes."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes

    async def port(self, instance: InstanceId) -> int:
        """Return the loopback port of a running instance. Raises StepFailed if it does not run."""
        state = await self._processes.state(instance)
        if state is None:
            raise StepFailed("no-instance", f"{instance} does not run", "see: hitless status")
        return state.port


class ProcessRestarts:
    """Counts how often instances ended without being asked to, from their shims."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes

    async def restarts(self) -> Mapping[InstanceId, int]:
        """Return the count for every instance that is there."""
        counts = {}
        for instance in await self._processes.instances():
            if (state := await self._processes.state(instance)) is not None:
                counts[instance] = state.restarts
        return counts

    async def last_words(self, service: str, slot: Slot) -> str:
        """Return the last lines of the log of the instance that ended most often in a slot; empty if there is none."""
        counts = await self.restarts()
        there = [each for each in counts if (each.service, each.slot) == (service, slot)]
        if not there:
            return ""
        return await self._processes.log_tail(max(there, key=lambda each: counts[each]))


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Everything that a controller can touch."""

    clock: Clock
    processes: LocalProcesses
    gateway: HaproxyGateway
    ticks: RecorderTicks
    otlp: OtlpMemory
    sources: Mapping[Source, Counters]  # who measures for guards
    runtime: RuntimeDriver
    traffic: TrafficDriver
    signals: SignalsDriver
    databases: Databases
    database: DatabaseDriver
    published: Published
    flags: FlagsDriver

    @classmethod
    def of(
        cls,
        system: System,
        *,
        folder: Path,
        state: Path,
        fence: Fence,
        definitions: Definitions,
        evidence: Evidence | None = None,
        accepted: Accepted = nothing_accepted,
        person: Person = nobody_said,
    ) -> Self:
        """Wire the rooms for one system; without `evidence` the tests of a run live as long as this world."""
        clock = SystemClock()
        processes = LocalProcesses(state, fence)
        gateway = HaproxyGateway(state, system, folder, fence, recorder_port=recorder_port(state))
        ticks, restarts = RecorderTicks(recorder_socket(state)), ProcessRestarts(processes)
        otlp = OtlpMemory()
        sources: dict[Source, Counters] = {"prometheus": Prometheus(), "opentelemetry": otlp}
        databases = Databases(system=system, folder=folder, state=state)
        published = publisher(system, state, folder, definitions, fence)
        return cls(
            clock=clock,
            processes=processes,
            gateway=gateway,
            ticks=ticks,
            otlp=otlp,
            sources=sources,
            runtime=RuntimeDriver(processes, clock),
            traffic=TrafficDriver(gateway, ProcessPorts(processes), clock),
            signals=SignalsDriver(ticks, restarts, clock, evidence, restarts.last_words, sources=sources, tests=ticks),
            databases=databases,
            database=DatabaseDriver(databases.url, UsersFirst(ticks, clock), accepted, fence.check, person=person),
            published=published,
            flags=FlagsDriver(published, TickUsers(ticks, clock, gateway.routings), clock),
        )

    async def mend(self) -> None:
        """Give a shim to every process that lost it, and bring a gateway that was restarted up to its files."""
        await self.processes.mend()
        await self.gateway.reconcile()

    @property
    def drivers(self) -> Mapping[str, Driver]:
        """Return who carries out the steps of each room."""
        return {
            "runtime": self.runtime,
            "traffic": self.traffic,
            "signals": self.signals,
            "database": WithLogins(self.database, self.databases),
            "flags": self.flags,
        }


def recorder_socket(state: Path) -> Path:
    """Return where the counts per second are read."""
    return socket_folder(state) / "recorder.sock"


def recorder_port(state: Path) -> int:
    """Return the loopback port where the gateway sends its log; chosen once, at the first start."""
    return int((state / "run" / "recorder.port").read_text())
