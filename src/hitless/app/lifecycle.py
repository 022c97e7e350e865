"""Starts and stops the processes below the services: PostgreSQL, recorder, flag server, gateway, controller."""

import asyncio
import fcntl
import os
import secrets
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hitless.app.bring_up import Resting
from hitless.app.crash import VARIABLE, FileCrashPoints
from hitless.app.flag_server import flag_server, write_first_bundle
from hitless.app.paths import claim_state_folder, load_system, state_folder
from hitless.app.world import recorder_port, recorder_socket
from hitless.database.names import PUBLIC
from hitless.kit.errors import HitlessError, InvalidInput, Refused
from hitless.kit.fence import Fence
from hitless.kit.files import write_atomic
from hitless.plan.instances import InstanceId
from hitless.plan.system import System
from hitless.runtime.free_ports import free_port
from hitless.runtime.postgres import EmbeddedPostgres
from hitless.runtime.steps import Launch
from hitless.runtime.supervisor import ProcessSpec, ProcessStatus, Shims
from hitless.store.postgres import create_database
from hitless.traffic.haproxy import HaproxyGateway

OURS = ("controller", "gateway", "flags", "recorder", "postgres")  # in the order in which they are stopped
STORE = "hitless"  # the database of the journal in the embedded cluster
POSTGRES_READY_S = 60.0
GATEWAY_GRACE_S = 5.0
BACK_S = 0.25  # the longest wait before one of ours is started again: everything hangs on them


class Lifecycle:
    """One system on this machine."""

    def __init__(self, system: System, file: Path) -> None:
        self._system, self._file = system, file.resolve()
        self._state = state_folder(system, file)
        self._shims = Shims(self._state)
        self._postgres = EmbeddedPostgres(self._state)

    async def start(self) -> bool:
        """Start what does not run; returns when the gateway listens and the controller was started.

        True: nothing ran before.
        """
        claim_state_folder(self._system, self._state)
        with self._alone():
            fresh = self._shims.status("gateway") is None
            if fresh:
                self.refuse_taken_ports()
                write_atomic(self._state / "system.yaml", self._file.read_text())
            self._write_first_files()
            if wish := os.environ.get(VARIABLE):
                FileCrashPoints(self._state).arm(wish)
            gateway = self._gateway()
            self._write_files(gateway)
            await self._shims.mend(OURS)  # the instances are the controller's: their environment is its own
            await asyncio.gather(
                self._start_databases(), self._start_recorder(), self._start_flags(), self._start_gateway(gateway)
            )
            await self._shims.start("controller", self._controller())
        return fresh

    async def stop(self, *, remember: bool = True) -> None:
        """Stop everything; remembers what ran for the next start, unless what was remembered before is to stay."""
        if not self._state.is_dir():
            return
        with self._alone():
            instances = {name: each for name, each in self._shims.all().items() if name not in OURS}
            if instances and remember:
                Resting(self._state).write({InstanceId.parse(name): _launch(each) for name, each in instances.items()})
            await self._shims.stop("controller")
            # Together: streams of flags have no end of their own, and the gateway would wait for them.
            await asyncio.gather(self._shims.stop("gateway", grace_s=self._drain_s()), self._shims.stop("flags"))
            await asyncio.gather(*(self._shims.stop(name) for name in instances))
            await self._shims.stop("recorder")
            await self._shims.stop("postgres")

    def _drain_s(self) -> float:
        """How long what is in flight may take to end when everything stops."""
        drains = [section.drain for section in self._system.services.values()]
        return min(max(drains, default=GATEWAY_GRACE_S), 3600.0)

    async def _start_databases(self) -> None:
        embedded = [name for name, each in self._system.databases.items() if each.url is None]
        if self._system.control.store is not None and not embedded:
            return
        await self._postgres.make()
        await self._shims.start("postgres", self._postgres.spec())
        await self._until_postgres_answers()
        await create_database(self._postgres.url("postgres"), STORE)
        for name in embedded:  # without it what is made there would lie in our own schema: it is called like the role
            await create_database(self._postgres.url("postgres"), name, schema=PUBLIC)

    async def _until_postgres_answers(self) -> None:
        deadline = time.monotonic() + POSTGRES_READY_S
        while True:
            try:
                await create_database(self._postgres.url("postgres"), STORE)
            except HitlessError as error:
                if time.monotonic() > deadline:
                    raise HitlessError(error.code, error.text, self._shims.log_tail("postgres")) from None
                await asyncio.sleep(0.05)
            else:
                return

    async def _start_recorder(self) -> None:
        addresses = (str(recorder_port(self._state)), str(recorder_socket(self._state)))
        argv = (sys.executable, "-m", "hitless.app.recorder", *addresses)
        spec = ProcessSpec(argv=argv, cwd=str(self._state), longest_delay_s=BACK_S, pid_file=True)
        await self._shims.start("recorder", spec)

    async def _start_flags(self) -> None:
        if self._shims.status("flags") is None:
            await self._shims.start("flags", flag_server(self._system, self._state, self._file.parent))

    def _write_files(self, gateway: HaproxyGateway) -> None:
        """Make what HAProxy starts from, out of the gateway's state: a loss of power may have taken it."""
        there = self._shims.status("gateway")
        if there is None or there.process is None:
            gateway.write_files()

    def _gateway(self) -> HaproxyGateway:
        system, fence = in_force(self._state) or self._system, Fence(self._state, _epoch(self._state))
        return HaproxyGateway(self._state, system, self._file.parent, fence, recorder_port=recorder_port(self._state))

    async def _start_gateway(self, gateway: HaproxyGateway) -> None:
        spec = ProcessSpec(
            argv=gateway.command(),
            cwd=str(self._state),
            stop_signal=gateway.stop_signal,
            grace_s=GATEWAY_GRACE_S,
            longest_delay_s=BACK_S,
            pid_file=True,
        )
        await self._shims.start("gateway", spec)
        await gateway.until_alive()

    def _controller(self) -> ProcessSpec:
        """The controller keeps our environment: it resolves the references of the system file."""
        own = str(Path(sys.executable).parent)  # so that `python3` means this one, with what is installed beside us
        return ProcessSpec(
            argv=(sys.executable, "-m", "hitless.server.main", str(self._file)),
            cwd=str(self._file.parent),
            env={"PATH": f"{own}:{os.environ.get('PATH', '')}"},
            inherit_environment=True,
            owns_orphans=False,  # it starts the shims of the instances, and they outlive it
            longest_delay_s=BACK_S,
            pid_file=True,
        )

    def _write_first_files(self) -> None:
        token, port = self._state / "run" / "token", self._state / "run" / "recorder.port"
        if not token.exists():
            write_atomic(token, secrets.token_urlsafe(32))
        if not port.exists():
            write_atomic(port, str(free_port(secrets.randbits(32))))
        write_first_bundle(self._state)

    def refuse_taken_ports(self) -> None:
        """Raise InvalidInput if another program listens where the gateway will."""
        gateway, control = self._system.gateway, self._system.control
        for key, address in (
            ("gateway.listen", gateway.listen),
            ("gateway.internal", gateway.internal),
            ("control.listen", control.listen),
            ("control.grpc", control.grpc),
        ):
            if not _bindable(address):
                raise InvalidInput("port-taken", f"{key}: another program listens on {address}", "see: hitless doctor")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        descriptor = os.open(self._state / "run" / "lifecycle.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise Refused("busy", "another hitless up or down is at work here", "wait for it") from None
        finally:
            os.close(descriptor)


def in_force(state: Path) -> System | None:
    """Return the system file that the gateway was started with; None before the first start."""
    copy = state / "system.yaml"
    return load_system(copy) if copy.exists() else None


def logs_of(state: Path, name: str, lines: int) -> dict[str, str]:
    """Return the last lines of every process of that name: an instance, all of a service, or one of ours."""
    folder = state / "processes"
    known = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    wanted = [each for each in known if each == name or each.rsplit("-", 1)[0] == name]
    if not wanted:
        raise InvalidInput("unknown-process", f"nothing called {name!r} has run here", f"there are: {', '.join(known)}")
    shims = Shims(state)
    return {each: shims.log_tail(each, lines) for each in wanted}


def _launch(status: ProcessStatus) -> Launch:
    return Launch.from_data(status.spec.about["launch"])


def _epoch(state: Path) -> int:
    """The epoch in force: `up` writes the gateway's first files in the name of the controller before it."""
    file = state / "epoch"
    return int(file.read_text()) if file.exists() else 0


def _bindable(address: str) -> bool:
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.create_server((host.strip("[]") or "0.0.0.0", int(port)), family=family):  # noqa: S104  a test
            return True
    except OSError:
        return False
