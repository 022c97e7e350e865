"""Shims on real processes: who outlives whom."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from hitless.runtime.supervisor import ProcessSpec, Shims

pytestmark = pytest.mark.live

# Starts a process in a session of its own, as a controller starts shims, and one in its own session.
PARENT = """
import subprocess, sys, time
sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
apart = subprocess.Popen(sleeper, start_new_session=True)
beside = subprocess.Popen(sleeper, process_group=0)
open("children", "w").write(f"{apart.pid} {beside.pid}")
time.sleep(60)
"""


async def until(condition, bound_s=120.0):
    async with asyncio.timeout(bound_s):
        while not condition():
            await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.parametrize("owns_orphans", [True, False])
async def test_what_a_killed_controller_started_apart_lives_on_and_what_it_ran_beside_itself_ends(
    tmp_path: Path, owns_orphans: bool
) -> None:
    shims, children = Shims(tmp_path), tmp_path / "children"
    spec = ProcessSpec(argv=(sys.executable, "-c", PARENT), cwd=str(tmp_path), owns_orphans=owns_orphans)
    await shims.start("controller", spec)
    pids = []
    try:
        await until(lambda: children.exists() and len(children.read_text().split()) == 2)
        pids = apart, beside = [int(pid) for pid in children.read_text().split()]
        killed = shims.status("controller").process
        os.kill(killed.pid, signal.SIGKILL)
        await until(lambda: shims.status("controller").process not in (None, killed))
        assert (alive(apart), alive(beside)) == (not owns_orphans, False)
    finally:
        await shims.stop("controller")
        for pid in [*pids, *map(int, children.read_text().split())]:
            if alive(pid):
                os.kill(pid, signal.SIGKILL)
