"""Faults do to real processes and connections what they say."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hitless.testing.faults import CutProxy, busy_port, kill, stopped
from hitless.testing.load import Load, Profile


@pytest.fixture
def sleeper():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_killed_process_is_dead_when_kill_returns(sleeper):
    kill(sleeper.pid)
    assert state(sleeper.pid) == "Z"
    assert sleeper.wait() == -9


def test_a_process_that_is_not_there_cannot_be_killed(sleeper):
    kill(sleeper.pid)
    sleeper.wait()
    with pytest.raises(ProcessLookupError):
        kill(sleeper.pid)


def test_a_stopped_process_hangs_and_goes_on(sleeper):
    with stopped(sleeper.pid):
        os.waitid(os.P_PID, sleeper.pid, os.WSTOPPED)
        assert state(sleeper.pid) == "T"
    os.waitid(os.P_PID, sleeper.pid, os.WCONTINUED)
    assert state(sleeper.pid) != "T"


def test_a_busy_port_is_busy_until_the_end():
    with busy_port() as port, pytest.raises(OSError, match="in use"), busy_port(port):
        pass
    with busy_port(port) as again:
        assert again == port


async def test_a_proxy_carries_what_comes_and_cuts_when_told(server):
    async with CutProxy(server.port) as proxy:
        load = Load(Profile(url=f"http://127.0.0.1:{proxy.port}", websocket="/ws/1001", websocket_every_s=0.01))
        running = asyncio.create_task(load.run())
        async with asyncio.timeout(120):
            while not load.report().websocket or not load.report().websocket.echoed:
                await asyncio.sleep(0.01)
            assert load.report().failed == 0
            proxy.cut()
            while not load.report().failed:
                await asyncio.sleep(0.01)
        load.stop_soon()
        assert set((await running).reasons) == {"websocket-reset"}


async def test_a_proxy_to_nowhere_resets(server):
    async with CutProxy(1) as proxy:
        report = await Load(Profile(url=f"http://127.0.0.1:{proxy.port}", rate=100, requests=3, get=("/",))).run()
    assert sum(report.reasons.values()) == 3
    assert set(report.reasons) <= {"reset", "cut"}
