"""The gateway port on a real HAProxy: files first, then the Runtime API, both inside the fence."""

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from hitless.kit.errors import HitlessError, InvalidInput
from hitless.kit.fence import Fence
from hitless.kit.files import socket_folder, write_atomic
from hitless.kit.threads import in_thread
from hitless.plan.instances import SLOTS, InstanceId
from hitless.plan.system import System
from hitless.traffic import words
from hitless.traffic.binary import find_haproxy, version_of
from hitless.traffic.config import GatewayConfig
from hitless.traffic.counters import Counters, read_counters, read_info
from hitless.traffic.groups import read_groups
from hitless.traffic.layout import CONFIG, ROUTING_MAP, STATE
from hitless.traffic.memory import Memory
from hitless.traffic.orders import orders_for, orders_for_all
from hitless.traffic.ports import Place
from hitless.traffic.runtime_api import RuntimeApi, Unreachable
from hitless.traffic.steps import Routing

CHECK_WITHIN_S = 10.0
BACK_WITHIN_S = 5.0  # for a HAProxy that is being restarted
ASK_AGAIN_S = 0.02

T = TypeVar("T")


class HaproxyGateway:
    """Implements `hitless.traffic.ports.Gateway`. The truth lies in `{state}/gateway/state.json`; HAProxy follows it.

    Every effect is written there and into the files HAProxy starts from before HAProxy hears of it, so that a HAProxy
    that is killed comes back in the same state with no controller alive.
    """

    stop_signal = signal.SIGUSR1  # HAProxy then lets what is in flight end, and goes

    def __init__(self, state: Path, system: System, folder: Path, fence: Fence, *, recorder_port: int) -> None:
        self._state = state.absolute()
        self._system = system
        self._folder = folder.absolute()
        self._fence = fence
        self._recorder_port = recorder_port
        self._sockets = socket_folder(self._state)
        self._api = RuntimeApi(self._sockets / "haproxy.sock")
        self._at_work = threading.Lock()  # the fence is a lock of the whole process, not of one of its threads

    def write_files(self) -> None:
        """Write everything HAProxy starts from.

        Raises InvalidInput for words that must not reach its configuration, and for what HAProxy itself refuses.
        """
        with self._at_work, self._fence.hold():
            memory = self._stamped(self._read().only(self._system.services))
            files = replace(self._config(memory), groups=read_groups(self._system, self._folder)).files()
            (self._state / "gateway").mkdir(mode=0o700, parents=True, exist_ok=True)
            for name, content in {STATE: memory.write(), **files}.items():
                write_atomic(self._state / name, content)
            self._check()

    def command(self) -> tuple[str, ...]:
        """Return how HAProxy is started: in the foreground, one process. Raises HitlessError `no-haproxy`."""
        return (str(self._haproxy[0]), "-C", str(self._state), "-db", "-f", CONFIG)

    async def until_alive(self, bound_s: float = 10.0) -> None:
        """Wait until HAProxy answers. Raises HitlessError `gateway-down`."""
        await in_thread(lambda: self._insist(lambda: self._api.ask("show info"), bound_s))

    async def alive(self) -> bool:
        """Tell whether HAProxy answers."""
        try:
            await in_thread(lambda: self._api.ask("show info"))
        except Unreachable:
            return False
        return True

    async def routings(self) -> Mapping[str, Routing]:
        """Return who meets which version, per service."""
        return (await in_thread(self._read)).routings

    async def places(self) -> Mapping[InstanceId, Place]:
        """Return the instances that are known to the gateway."""
        return (await in_thread(self._read)).places

    async def route(self, routing: Routing) -> None:
        """Put a routing in force for every request that comes after the return."""
        self._known(routing.service)
        row = words.row(routing, self._fence.epoch)
        order = f"set map {ROUTING_MAP} {routing.service} {row}"
        await self._change(
            lambda memory: memory.routed(routing), lambda config: {ROUTING_MAP: config.routing_map()}, (order,)
        )

    async def admit(self, instance: InstanceId, port: int) -> None:
        """Send requests to an instance from now on."""
        await self._place(instance, Place(port=words.port(port), state="ready"))

    async def drain(self, instance: InstanceId) -> None:
        """Send an instance nothing new; what it has in flight goes on."""
        place = (await self.places()).get(instance)
        if place is not None:
            await self._place(instance, Place(port=place.port, state="drain"))

    async def remove(self, instance: InstanceId) -> None:
        """Forget an instance that is drained."""
        await self._place(instance, None)

    async def in_flight(self, instance: InstanceId) -> int:
        """Count requests, streams and websockets that the instance has right now."""
        return (await self.connections(instance.service)).get(instance, 0)

    async def connections(self, service: str) -> Mapping[InstanceId, int]:
        """Count what each instance of a service has in flight; those with nothing may be left out."""
        self._known(service)
        return (await self._counters(*(f"show stat {words.backend(service, slot)} 4 -1" for slot in SLOTS))).in_flight

    async def requests_in_flight(self) -> int:
        """Count what all services together have in flight."""
        return sum((await self._counters("show stat")).in_flight.values())

    async def request_counts(self) -> Mapping[str, tuple[int, int]]:
        """Return, per service, the requests since HAProxy was started and how many of them were answered by a 5xx."""
        return (await self._counters("show stat")).requests

    async def dropped_logs(self) -> int:
        """Count the records since HAProxy was started that did not get into the ring (what it loses it says itself)."""
        info = await in_thread(lambda: self._insist(lambda: self._api.ask("show info")[0]))
        return int(read_info(info).get("DroppedLogs", 0))

    async def reconcile(self) -> None:
        """Bring a running HAProxy to the files; nothing changes where it follows them already."""

        def once() -> None:
            with self._at_work, self._fence.hold():
                memory = self._read().only(self._system.services)
                table = self._api.ask(f"show map {ROUTING_MAP}", "show servers state")
                self._api.set(*orders_for_all(memory, self._fence.epoch, *table))

        await in_thread(lambda: self._insist(once))

    def _check(self) -> None:
        checked = subprocess.run(
            [*self.command(), "-c"], check=False, capture_output=True, text=True, timeout=CHECK_WITHIN_S
        )
        if checked.returncode != 0:
            alerts = [line.partition(" : ")[2] for line in checked.stderr.splitlines() if line.startswith("[ALERT]")]
            raise InvalidInput("gateway-config", f"HAProxy refuses its configuration: {' '.join(alerts[:2])}")

    async def _place(self, instance: InstanceId, place: Place | None) -> None:
        self._known(instance.service)
        await self._change(
            lambda memory: memory.placed(instance, place),
            lambda config: {CONFIG: config.text()},
            orders_for(instance, place),
        )

    async def _change(
        self,
        change: Callable[[Memory], Memory],
        files: Callable[[GatewayConfig], Mapping[str, str]],
        orders: tuple[str, ...],
    ) -> None:
        """Write down, then tell HAProxy; again from the start, with the fence asked anew, while HAProxy is away."""

        def once() -> None:
            with self._at_work, self._fence.hold():
                memory = self._stamped(change(self._read()))
                write_atomic(self._state / STATE, memory.write())
                for name, content in files(self._config(memory)).items():  # `up` makes them again from the state
                    write_atomic(self._state / name, content, to_disk=False)
                self._api.set(*orders)

        await in_thread(lambda: self._insist(once))

    def _insist(self, what: Callable[[], T], bound_s: float = BACK_WITHIN_S) -> T:
        deadline = time.monotonic() + bound_s
        while True:
            try:
                return what()
            except Unreachable as error:
                if time.monotonic() > deadline:
                    text = f"HAProxy has not answered for {bound_s:g} s: {error}"
                    raise HitlessError("gateway-down", text, "see: hitless logs gateway") from None
                time.sleep(ASK_AGAIN_S)

    async def _counters(self, *questions: str) -> Counters:
        return read_counters(await in_thread(lambda: self._insist(lambda: self._api.ask(*questions))))

    def _known(self, service: str) -> None:
        if service not in self._system.services:
            raise HitlessError("unknown-service", f"the gateway was started without {service!r}", "hitless up")

    def _config(self, memory: Memory) -> GatewayConfig:
        inside = self._sockets == self._state / "run"
        return GatewayConfig(
            system=self._system,
            memory=memory,
            recorder_port=self._recorder_port,
            sockets="run" if inside else str(self._sockets),
            folder=str(self._folder),
            version=self._haproxy[1],
        )

    @cached_property
    def _haproxy(self) -> tuple[Path, tuple[int, ...]]:
        path = find_haproxy()
        return path, version_of(path)

    def _read(self) -> Memory:
        file = self._state / STATE
        return Memory.read(file.read_text()) if file.exists() else Memory()

    def _stamped(self, memory: Memory) -> Memory:
        return replace(memory, epoch=self._fence.epoch)
