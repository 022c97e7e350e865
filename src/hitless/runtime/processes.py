"""Instances as processes of this machine, each under its shim."""

import asyncio
import contextlib
import hashlib
import os
import signal
from pathlib import Path

from hitless.kit.errors import HitlessError
from hitless.kit.fence import Fence
from hitless.kit.threads import in_thread
from hitless.plan.instances import InstanceId
from hitless.runtime.environment import fill, instance_environment
from hitless.runtime.free_ports import free_port
from hitless.runtime.health import answers_200
from hitless.runtime.ports import Checked, ProcessState
from hitless.runtime.shim.references import Unresolved, environment
from hitless.runtime.steps import Launch
from hitless.runtime.supervisor import ProcessSpec, ProcessStatus, Shims

CHECK_OUTPUT_BYTES = 64 << 10


class LocalProcesses:
    """The real `Processes`: everything that changes something runs inside the fence of its controller's epoch."""

    def __init__(self, state: Path, fence: Fence) -> None:
        self._shims = Shims(state)
        self._state = state.absolute()
        self._fence = fence
        self._one_at_a_time = asyncio.Lock()  # the fence is not reentrant

    async def start(self, instance: InstanceId, launch: Launch) -> None:
        """Start an instance; what runs with the same launch stays, and is no longer to retire. Never a second copy."""
        there = self._shims.status(str(instance))
        if there is not None and not there.wanted:  # its stop was not finished
            await self.stop(instance, there.spec.grace_s)
        async with self._one_at_a_time:
            missing = await in_thread(lambda: self._prepare(instance, launch))
        if missing:
            await self._shims.launch(str(instance))

    async def state(self, instance: InstanceId) -> ProcessState | None:
        """Return what is there; None: nothing."""
        status = self._shims.status(str(instance))
        return None if status is None else _state(status)

    async def ready(self, instance: InstanceId) -> bool:
        """Tell whether its ready path answers 200 now."""
        state = await self.state(instance)
        if state is None or state.pid is None:  # another program on its port must not answer for it
            return False
        return await answers_200(state.port, state.launch.ready)

    async def stop(self, instance: InstanceId, grace_s: float) -> None:
        """Return when the instance is dead and forgotten, at the latest a moment after `grace_s`."""
        name = str(instance)
        async with self._one_at_a_time:
            there = await in_thread(lambda: self._ask_to_stop(name, grace_s))
        if there:
            await self._shims.gone(name)

    async def retire(self, instance: InstanceId, at: float) -> None:
        """Note that the instance may be stopped at that time (seconds since the epoch)."""
        async with self._one_at_a_time:
            await in_thread(lambda: self._set_retirement(str(instance), at))

    async def check(self, instance: InstanceId, command: tuple[str, ...], cwd: str, timeout_s: float) -> Checked:
        """Run a command against the instance, in its environment, with HITLESS_CHECK_URL."""
        async with self._one_at_a_time:
            await in_thread(self._touch)
        state = await self.state(instance)
        if state is None:
            raise HitlessError("no-instance", f"{instance} does not run, so nothing can be checked")
        wanted = instance_environment(instance, state.launch, state.port)
        wanted["HITLESS_CHECK_URL"] = f"http://127.0.0.1:{state.port}"
        try:
            env = environment(wanted, dict(os.environ), inherit=False)
        except Unresolved as error:
            raise HitlessError("unresolved-reference", str(error)) from error
        return await _run(fill(command, version=state.launch.version, port=state.port), cwd, env, timeout_s)

    async def instances(self) -> list[InstanceId]:
        """Return the instances that are there, in order."""
        return sorted(InstanceId.parse(name) for name, status in self._shims.all().items() if _is_instance(status))

    async def log_tail(self, instance: InstanceId, lines: int = 20) -> str:
        """Return the last lines that the instance wrote."""
        return self._shims.log_tail(str(instance), lines)

    async def mend(self) -> list[str]:
        """Give a new shim to every process of ours whose shim was killed; returns their names."""
        async with self._one_at_a_time:
            await in_thread(self._touch)
        return await self._shims.mend()

    def _touch(self) -> None:
        with self._fence.hold():
            pass

    def _prepare(self, instance: InstanceId, launch: Launch) -> bool:
        name = str(instance)
        with self._fence.hold():
            there = self._shims.status(name)
            if there is None or not (there.process or there.shim):
                return self._shims.prepare(name, self._spec(instance, launch, there))
            if _is_instance(there) and _state(there).launch == launch and there.wanted:
                self._shims.remember(name, {**there.spec.about, "retire_at": None})
                return there.shim is None
            raise HitlessError("already-runs", f"{name} runs another version", f"stop {name} first")

    def _spec(self, instance: InstanceId, launch: Launch, before: ProcessStatus | None) -> ProcessSpec:
        same = before is not None and _is_instance(before) and _state(before).launch == launch
        port = int(before.spec.about["port"]) if before is not None and same else self._free_port(instance)
        return ProcessSpec(
            argv=fill(launch.run, version=launch.version, port=port),
            cwd=fill((launch.cwd,), version=launch.version, port=port)[0],
            env=instance_environment(instance, launch, port),
            grace_s=launch.grace_s,
            epoch=self._fence.epoch,
            about={"launch": launch.to_data(), "port": port, "retire_at": None},
        )

    def _ask_to_stop(self, name: str, grace_s: float) -> bool:
        with self._fence.hold():
            return self._shims.ask_to_stop(name, grace_s=grace_s)

    def _set_retirement(self, name: str, at: float) -> None:
        with self._fence.hold():
            there = self._shims.status(name)
            if there is not None:
                self._shims.remember(name, {**there.spec.about, "retire_at": at})

    def _free_port(self, instance: InstanceId) -> int:
        taken = {status.spec.about.get("port") for status in self._shims.all().values()}
        seed = hashlib.sha256(f"{self._state}/{instance}".encode()).digest()  # other systems begin elsewhere
        return free_port(int.from_bytes(seed[:4], "big"), {port for port in taken if isinstance(port, int)})


def _is_instance(status: ProcessStatus) -> bool:
    return "launch" in status.spec.about


def _state(status: ProcessStatus) -> ProcessState:
    about = status.spec.about
    return ProcessState(
        launch=Launch.from_data(about["launch"]),
        port=about["port"],
        pid=None if status.process is None else status.process.pid,
        state=status.state,
        restarts=status.restarts,
        last_exit=status.last_exit,
        retire_at=about["retire_at"],
    )


async def _run(command: tuple[str, ...], cwd: str, env: dict[str, str], timeout_s: float) -> Checked:
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=cwd,
            env=env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            process_group=0,  # of its own, but in our session: it is ended with us
        )
    except OSError as error:
        return Checked(code=127, output=f"cannot start {command[0]} in {cwd}: {error}")
    output = bytearray()
    try:
        async with asyncio.timeout(timeout_s):
            await _collect(process, output)
            code: int | None = await process.wait()
    except TimeoutError:
        code = None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    return Checked(code=code, output=output.decode(errors="replace"))


async def _collect(process: asyncio.subprocess.Process, output: bytearray) -> None:
    if process.stdout is None:
        return
    while piece := await process.stdout.read(4096):
        output += piece
        del output[:-CHECK_OUTPUT_BYTES]
