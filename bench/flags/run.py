"""Figures of feature flags, beside openfeature-flagd-core in the same run. Takes about a minute.

Run: python bench/flags/run.py [--seconds 5]; exit 1 if a figure fell short of what is wanted.
"""

import argparse
import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop
from bench_evaluate import main as evaluations

from hitless.flags import FlagSet
from hitless.flags.stages import at_stage
from hitless.kit.files import write_atomic

CONNECTIONS = 16
STREAMS = 200
CHANGES = 20
USERS = 100_000
EMAIL_ELSE_5 = {
    "if": [{"ends_with": [{"var": "email"}, "@shop.example"]}, "on", {"fractional": [["on", 5], ["off", 95]]}]
}
FLAG = {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off", "targeting": EMAIL_ELSE_5}


SHORT: list[str] = []  # figures that fell short


def wanted(name: str, value: float, bound: float, *, least: bool) -> str:
    """Say what was wanted of a figure, and note it if it fell short."""
    fits = value >= bound if least else value <= bound
    if not fits:
        SHORT.append(name)
    return f"   wanted {'at least' if least else 'at most'} {bound:,g}{'' if fits else '   FELL SHORT'}"


class Server:
    """A flag server on loopback."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "set.json"
        self.http, self.grpc = _free_port(), _free_port()
        self.process: subprocess.Popen[str] | None = None
        self.write({"f": FLAG})

    def write(self, flags: dict[str, Any]) -> None:
        write_atomic(self.file, json.dumps({"flags": flags}))

    def start(self) -> None:
        address = ["--listen", f"127.0.0.1:{self.http}", "--grpc", f"127.0.0.1:{self.grpc}"]
        command = [sys.executable, "-m", "hitless.flags.serve", "--set", str(self.file), *address]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline().startswith("flags:")

    def tell(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self, number: int = signal.SIGTERM) -> None:
        assert self.process is not None
        self.tell(number)
        self.process.wait(10)
        if self.process.stdout is not None:
            self.process.stdout.close()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Asker(asyncio.Protocol):
    """One connection that asks again as soon as it was answered."""

    def __init__(self, requests: list[bytes], until: float, took: list[float]) -> None:
        self.requests, self.until, self.took = requests, until, took
        self.done = asyncio.get_running_loop().create_future()
        self.count, self.buffer, self.began = 0, b"", 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._ask()

    def _ask(self) -> None:
        self.began = time.perf_counter()
        self.transport.write(self.requests[self.count % len(self.requests)])  # type: ignore[attr-defined]
        self.count += 1

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        if not found or len(body) < int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]):
            return
        assert head.startswith(b"HTTP/1.1 200"), head
        self.buffer, now = b"", time.perf_counter()
        self.took.append(now - self.began)
        if now < self.until:
            self._ask()
        else:
            self.transport.close()
            self.done.set_result(None)


async def single_evaluations(port: int, seconds: float) -> None:
    """Print OFREP single evaluations per second and their latency."""
    requests = []
    for number in range(500):
        body = json.dumps({"context": {"targetingKey": f"user-{number}", "email": f"u{number}@mail.example"}}).encode()
        head = f"POST /ofrep/v1/evaluate/flags/f HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        requests.append(head.encode() + body)
    took: list[float] = []
    began = time.perf_counter()
    askers = [Asker(requests, began + seconds, took) for _ in range(CONNECTIONS)]
    for asker in askers:
        await asyncio.get_running_loop().create_connection(lambda asker=asker: asker, "127.0.0.1", port)
    await asyncio.gather(*(asker.done for asker in askers))
    took.sort()
    p50, p99 = (took[int(len(took) * part)] * 1000 for part in (0.5, 0.99))
    rate = len(took) / (time.perf_counter() - began)
    said = wanted("OFREP rate", rate, 5000, least=True) + wanted("OFREP p99", p99, 5, least=False)
    print(f"OFREP single, {CONNECTIONS} connections       {rate:12,.0f}/s   p50 {p50:.2f} ms   p99 {p99:.2f} ms{said}")


async def propagation(server: Server) -> None:
    """Print how long a change takes from the write of the set to each of the streaming clients."""
    readers = []
    for _ in range(STREAMS):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.http)
        writer.write(b"GET /ofrep/v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b": connected")
        readers.append((reader, writer))
    took: list[float] = []

    async def told(reader: asyncio.StreamReader, began: float) -> None:
        await reader.readuntil(b"refetchEvaluation")
        took.append(time.perf_counter() - began)

    for number in range(CHANGES):
        began = time.perf_counter()
        waiting = [asyncio.create_task(told(reader, began)) for reader, _ in readers]
        await asyncio.sleep(0)
        server.write({"f": FLAG | {"metadata": {"number": number}}})
        server.tell(signal.SIGHUP)
        await asyncio.wait_for(asyncio.gather(*waiting), 30)
    for _, writer in readers:
        writer.close()
    took.sort()
    p50, p99 = (took[int(len(took) * part)] * 1000 for part in (0.5, 0.99))
    said = wanted("propagation", p99, 100, least=False)
    print(
        f"change to all of {STREAMS} streaming clients, {CHANGES} changes   p50 {p50:.1f} ms   p99 {p99:.1f} ms{said}"
    )


def after_a_kill(server: Server) -> None:
    """Print how long official clients with default settings take to hold the new value after kill -9."""
    try:
        from openfeature import api
        from openfeature.contrib.provider.flagd import FlagdProvider
        from openfeature.contrib.provider.flagd.config import ResolverType
    except ImportError:
        print("after kill -9: the official provider is not installed: not measured")
        return
    kinds = (ResolverType.RPC, ResolverType.IN_PROCESS)
    off = {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off"}
    server.write({"f": off})
    server.tell(signal.SIGHUP)
    for kind in kinds:
        provider = FlagdProvider(host="127.0.0.1", port=server.grpc, resolver_type=kind)
        api.set_provider_and_wait(provider, kind.value)
    clients = {kind.value: api.get_client(kind.value) for kind in kinds}
    while any(client.get_boolean_value("f", True) for client in clients.values()):
        time.sleep(0.05)
    server.stop(signal.SIGKILL)
    began = time.perf_counter()
    server.write({"f": off | {"defaultVariant": "on"}})
    server.start()
    held: dict[str, float] = {}
    while len(held) < len(clients) and time.perf_counter() - began < 60:
        for name, client in clients.items():
            if name not in held and client.get_boolean_value("f", False):
                held[name] = time.perf_counter() - began
        time.sleep(0.02)
    said = "   ".join(f"python {name} {held.get(name, float('nan')):.1f} s" for name in clients)
    said += wanted("after a kill", max([*held.values(), 60.0 if len(held) < len(clients) else 0.0]), 15, least=False)
    print(f"after kill -9, default settings, new value held   {said}")
    api.shutdown()


def who_changes_side() -> None:
    """Print how many users leave when a stage grows, or come in when it shrinks: nobody has to."""
    users = [{"targetingKey": f"user-{number}"} for number in range(USERS)]
    for bucketing in ("v2", "v3"):
        at: dict[str, set[str]] = {}
        for stage in ("5%", "25%"):
            flags = FlagSet.parse(json.dumps({"flags": {"f": at_stage(None, stage)}}), bucketing=bucketing)
            at[stage] = {user["targetingKey"] for user in users if flags.evaluate("f", user).value}
        print(
            f"5% -> 25%, {bucketing}, {USERS} users: {len(at['5%'])} -> {len(at['25%'])} in, "
            f"{len(at['5%'] - at['25%'])} change side without having to"
            f"{wanted('users who change side', len(at['5%'] - at['25%']), 0, least=False)}"
        )


def main() -> int:
    """Print one line for each figure; returns the exit code."""
    parser = argparse.ArgumentParser(description="Figures of feature flags.")
    parser.add_argument("--seconds", type=float, default=5.0, help="of the load over OFREP")
    seconds = parser.parse_args().seconds
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    full, variant = evaluations()
    print(f"the slowest of ours, full result    {full:12,.0f}/s{wanted('full results', full, 300_000, least=True)}")
    print(f"the slowest of ours, variant only   {variant:12,.0f}/s{wanted('variants', variant, 1_000_000, least=True)}")
    with tempfile.TemporaryDirectory(prefix="hitless-bench-") as folder:
        server = Server(Path(folder))
        server.start()
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(single_evaluations(server.http, seconds))
                runner.run(propagation(server))
            after_a_kill(server)
        finally:
            server.stop()
    who_changes_side()
    return 1 if SHORT else 0


if __name__ == "__main__":
    sys.exit(main())
