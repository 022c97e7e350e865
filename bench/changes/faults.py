"""Kills anything of a running shop with -9, and says what it cost the client."""

import asyncio
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.changes.shop import Bench, kill, until

from hitless.database.postgres import Target
from hitless.kit.errors import HitlessError
from hitless.runtime.postgres import EmbeddedPostgres

VICTIMS = {
    "controller": 4,
    "flags": 2,
    "recorder": 2,
    "instance": 2,
    "shim": 2,
    "connection": 2,
    "gateway": 1,
    "postgres": 1,
}
SETTLED_S = 2.0  # after what was killed is back: for what it cut to be counted

_OTHERS = "pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
_CUT = f"SELECT pg_terminate_backend((SELECT pid FROM {_OTHERS} ORDER BY backend_start, pid LIMIT 1 OFFSET {{}}))"
_COUNT = f"SELECT count(*) AS n FROM {_OTHERS}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One blow: so long after the one before (seconds), at that victim; `where` (0..1) chooses among several."""

    pause_s: float
    victim: str
    where: float


def faults(chance: random.Random, most: int = 6) -> list[Fault]:
    """Choose the blows of one run; the last ones may come too late for it."""
    victims = chance.choices(list(VICTIMS), weights=list(VICTIMS.values()), k=chance.randint(0, most))
    return [Fault(pause_s=chance.uniform(0.2, 4.0), victim=each, where=chance.random()) for each in victims]


def strike(bench: Bench, fault: Fault) -> int:
    """Kill, and wait until it is back; returns how many requests were cut by that.

    Whoever kills the gateway cuts what is in flight in it, whoever kills an instance the streams that it serves, and
    whoever waits for a database longer than its own time-out gives up: no harm that a change does. Everything else must
    cost nothing.
    """
    before = bench.stage.counts().failed
    match fault.victim:
        case "instance":
            _instance(bench, fault.where)
        case "shim":
            _shim(bench, fault.where)
        case "connection":
            asyncio.run(_connection(bench.stage.state, fault.where))
        case process:
            bench.stage.kill(process)
            if process == "postgres":
                until(lambda: _answers(bench.stage.state))
    if fault.victim not in ("gateway", "instance", "postgres"):
        return 0
    time.sleep(SETTLED_S)
    return bench.stage.counts().failed - before


def _answers(state: Path) -> bool:
    """Whether the database server takes connections again: it first goes through its log."""

    async def ask() -> None:
        async with Target.open(EmbeddedPostgres(state).url("postgres")) as target:
            await target.rows("SELECT 1")

    try:
        asyncio.run(ask())
    except HitlessError:
        return False
    return True


def _instance(bench: Bench, where: float) -> None:
    file = _one_of(bench, where, lambda name: name.partition("-")[0] in ("web", "orders", "accounts"))
    status = json.loads(file.read_text())
    if status["child"] is not None:
        _killed(status["child"]["pid"])


def _shim(bench: Bench, where: float) -> None:
    file = _one_of(bench, where, lambda _: True)
    pid = json.loads(file.read_text())["shim"]["pid"]
    _killed(pid)
    until(lambda: not file.exists() or json.loads(file.read_text())["shim"]["pid"] != pid)


def _one_of(bench: Bench, where: float, suits: Callable[[str], bool]) -> Path:
    files = sorted((bench.stage.state / "processes").glob("*/status.json"))
    suiting = [file for file in files if suits(file.parent.name)]
    return suiting[int(where * len(suiting))]


def _killed(pid: int) -> None:
    try:
        kill(pid)
    except ProcessLookupError:
        return  # it had just ended


async def _connection(state: Path, where: float) -> None:
    """Cut one connection to the database server: of the controller, of an instance, of the flag server's store."""
    async with Target.open(EmbeddedPostgres(state).url("postgres")) as target:
        (row,) = await target.rows(_COUNT)
        await target.rows(_CUT.format(int(where * int(row["n"]))))
