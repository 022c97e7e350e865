"""A whole watch in real time: log records in, a decision out."""

import asyncio
import json
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hitless.kit.clock import SystemClock
from hitless.kit.units import Share
from hitless.plan.instances import InstanceId
from hitless.plan.ports import Moment, StepFailed
from hitless.signals.counting import Observed
from hitless.signals.driver import SignalsDriver
from hitless.signals.recorder import recording
from hitless.signals.steps import Watch
from hitless.signals.ticks import RecorderTicks

pytestmark = pytest.mark.live

STEP = Watch(service="orders", baseline="a", canary="b", share=Share(5000), bake_s=2, no_evidence_s=30)


class NoCrashes:
    async def restarts(self) -> dict[InstanceId, int]:
        return {}


def parse(line: str) -> Observed:
    return Observed(*json.loads(line))


async def users(port: int, *, canary_fails: bool) -> None:
    """A hundred requests a second, half of them to the new version."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for number in range(10_000):
            slot = "ab"[number % 2]
            record = [round(time.time() * 1000), "orders", slot, f"u{number % 40}", canary_fails and slot == "b", 5.0]
            message = json.dumps(record).encode()
            writer.write(message + b"\n")
            await writer.drain()
            await asyncio.sleep(0.01)
    finally:
        writer.close()


async def watched(path: Path, step: Watch = STEP) -> tuple[str, dict[str, Any]]:
    """Watch to the end, 120 s at most; return how it ended and the last note."""
    notes: list[dict[str, Any]] = []

    async def note(remark: dict[str, Any]) -> None:
        notes.append(remark)

    driver = SignalsDriver(RecorderTicks(path), NoCrashes(), SystemClock())
    async with asyncio.timeout(120):
        try:
            await driver.do(step, Moment(run="r1", position=0, started_at=time.time(), note=note))
        except StepFailed as failure:
            return failure.code, notes[-1]
    return "on", notes[-1]


@pytest.mark.parametrize(("canary_fails", "ends"), [(False, "on"), (True, "canary-fails")])
async def test_a_watch_ends_as_its_users_fare(tmp_path: Path, canary_fails: bool, ends: str) -> None:
    path = tmp_path / "r.sock"
    async with recording(0, path, parse) as port:
        load = asyncio.ensure_future(users(port, canary_fails=canary_fails))
        by_the_breaker = replace(STEP, bake_s=60, errors_worse=1000.0)  # and not, with few requests, by comparison
        ended, note = await watched(path, by_the_breaker if canary_fails else STEP)
        load.cancel()
        with suppress(asyncio.CancelledError):
            await load
    assert ended == ends
    assert note["verdict"] == ("worse" if canary_fails else "undecided")
    assert note["canary"]["requests"] > 0


async def test_a_watch_survives_its_recorder(tmp_path: Path) -> None:
    path = tmp_path / "r.sock"
    watching = asyncio.ensure_future(watched(path))  # before there is one
    await asyncio.sleep(0.5)
    async with recording(0, path, parse) as port:
        load = asyncio.ensure_future(users(port, canary_fails=False))
        ended, note = await watching
        load.cancel()
        with suppress(asyncio.CancelledError):
            await load
    assert ended == "on"
    assert note["seconds"]["seen"] >= STEP.bake_s
