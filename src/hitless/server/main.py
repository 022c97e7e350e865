"""The controller as a process: `python -m hitless.server.main hitless.yaml`."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from hitless.app.controller import Controller
from hitless.app.counting import CountingJournal, felt_in
from hitless.app.crash import FileCrashPoints
from hitless.app.evidence import StoredEvidence
from hitless.app.going_back import AcceptedLoss, Asker
from hitless.app.journal import StoredJournal
from hitless.app.lifecycle import STORE, in_force
from hitless.app.paths import load_system, state_folder
from hitless.app.rolling import RollingVerification
from hitless.app.still_needed import ContractLast, StillNeeded
from hitless.app.world import KINDS, World
from hitless.engine.engine import Engine
from hitless.flags.postgres import Definitions
from hitless.kit.errors import Exit, HitlessError
from hitless.kit.fence import Fence
from hitless.kit.files import socket_folder
from hitless.kit.identity import Identity
from hitless.plan.system import System
from hitless.runtime.postgres import EmbeddedPostgres
from hitless.server.api import build
from hitless.server.serve import listen, serve
from hitless.store.postgres import Store

STORE_PATIENCE_S = 60.0
TENDING_S = 0.5  # between two looks at processes and gateway
WARMING_S = 30.0  # between two looks whether empty copies of databases are as their originals
CONTRACTS_S = 5.0  # between two looks at contracts that are due, and at the rows they wait for


def main(file: Path) -> int:
    """Run the controller until it is told to stop or must; returns the exit code."""
    try:
        return asyncio.run(_run(file.resolve()))
    except HitlessError as error:
        print(error, file=sys.stderr, flush=True)  # noqa: T201  into the controller's log
        return Exit.FAILED


async def _run(file: Path) -> int:
    loop, stop, failures = asyncio.get_running_loop(), asyncio.Event(), list[BaseException]()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    def abandoned(error: BaseException) -> None:
        failures.append(error)
        stop.set()

    newest = load_system(file)
    state = state_folder(newest, file)
    system = in_force(state) or newest
    store, fence = await _take_over(system, state)
    definitions = await Definitions.open(_store_url(system, state), fence.epoch)
    world = World.of(
        system,
        folder=file.parent,
        state=state,
        fence=fence,
        definitions=definitions,
        evidence=StoredEvidence(store),
        accepted=AcceptedLoss(StoredJournal(store)),
        person=Asker(StoredJournal(store)),
    )
    engine = _engine(world, store, state, abandoned)
    controller = Controller(file=file, state=state, system=system, world=world, store=store, engine=engine)
    rolling = RollingVerification(world=world, store=store, engine=engine)
    await world.gateway.reconcile()
    await engine.recover()
    looks = (
        *((each, TENDING_S) for each in (store.ping, world.mend, world.runtime.retire_overdue, controller.flags.tend)),
        (controller.contracts.tend, CONTRACTS_S),
        (rolling.tend, CONTRACTS_S),
        (controller.warm, WARMING_S),
    )
    tending = [asyncio.create_task(_tend(each, every_s, abandoned)) for each, every_s in looks]
    token = (state / "run" / "token").read_text().strip()
    await serve(build(controller, token), listen(socket_folder(state) / "controller.sock"), stop)
    for task in tending:
        task.cancel()
    await asyncio.gather(*tending, return_exceptions=True)  # a query that is cancelled needs its connection to end
    await engine.close()
    await definitions.close()
    await store.close()
    for failure in failures:
        print(failure, file=sys.stderr, flush=True)  # noqa: T201  into the controller's log
    return Exit.FAILED if failures else Exit.DONE


async def _take_over(system: System, state: Path) -> tuple[Store, Fence]:
    """Become the one controller: from here on whatever an older one still tries is refused."""
    store = await _open_store(system, state)
    await store.migrate()
    me = Identity.me()
    fence = Fence(state, await store.take_over({"pid": me.pid, "boot": me.boot_id}))
    fence.raise_epoch()
    return store, fence


def _engine(world: World, store: Store, state: Path, abandoned: Callable[[BaseException], None]) -> Engine:
    return Engine(
        journal=CountingJournal(StoredJournal(store), felt_in(world)),
        drivers={**world.drivers, "database": ContractLast(world.drivers["database"], StillNeeded(world))},
        kinds=KINDS,
        alarm=world.signals,
        clock=world.clock,
        crash=FileCrashPoints(state),
        abandoned=abandoned,
    )


async def _open_store(system: System, state: Path) -> Store:
    """The database may still be starting, or restarting after a kill."""
    url = _store_url(system, state)
    deadline = asyncio.get_running_loop().time() + STORE_PATIENCE_S
    while True:
        try:
            return await Store.open(url)
        except HitlessError:
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.1)


def _store_url(system: System, state: Path) -> str:
    reference = system.control.store
    if reference is None:
        return EmbeddedPostgres(state).url(STORE)
    name = reference.removeprefix("env:")
    if name not in os.environ:
        raise HitlessError("no-store-url", f"the environment variable {name} is not set", "set it before hitless up")
    return os.environ[name]


async def _tend(
    look: Callable[[], Awaitable[object]], every_s: float, abandoned: Callable[[BaseException], None]
) -> None:
    """Look after something again and again; an error ends this controller, and the next one begins anew."""
    try:
        while True:
            await look()
            await asyncio.sleep(every_s)
    except HitlessError as error:
        abandoned(error)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
