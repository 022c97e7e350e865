"""The shop's services as real processes, reached directly."""

import asyncio
import contextlib
import json
import os
import secrets
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hitless.runtime.free_ports import free_port

SHOP = Path(__file__).parents[3] / "examples" / "shop"
READY_S = 120.0


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self):
        return json.loads(self.body)


@dataclass
class Instance:
    """One process of a service."""

    port: int
    process: asyncio.subprocess.Process
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def ask(self, path: str, body: object = None, **headers: str) -> Answer:
        return await asyncio.to_thread(self._ask, path, body, {k.replace("_", "-"): v for k, v in headers.items()})

    def _ask(self, path: str, body: object, headers: dict[str, str]) -> Answer:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return Answer(answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, {k.lower(): v for k, v in error.headers.items()}, error.read())

    async def ready(self) -> None:
        async with asyncio.timeout(READY_S):
            while True:
                with contextlib.suppress(OSError):
                    if (await self.ask("/ready")).status == 200:
                        return
                assert self.process.returncode is None, self.log.read_text()
                await asyncio.sleep(0.02)

    async def terminate(self) -> int:
        """Ask it to end; return its exit status."""
        if self.process.returncode is None:
            self.process.terminate()
        try:
            async with asyncio.timeout(60):
                return await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
            raise


@dataclass
class Shop:
    """Starts services; each finds those that were started before it."""

    database_url: str
    folder: Path
    urls: dict[str, str] = field(default_factory=dict)
    instances: list[Instance] = field(default_factory=list)

    async def start(self, service: str, version: str, **env: str) -> Instance:
        port = free_port(secrets.randbits(32))
        log = self.folder / f"{service}-{version}-{port}.log"
        environment = {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "PYTHONPATH": "../../../common",
            "DATABASE_URL": self.database_url,
            "HITLESS_SERVICE": service,
            "HITLESS_VERSION": version,
            "HITLESS_INSTANCE": f"{service}-{version}-{len(self.instances)}",
            "PORT": str(port),
            **{f"HITLESS_URL_{name.upper()}": url for name, url in self.urls.items()},
            **{name: value for name, value in os.environ.items() if name in ("HOME", "LANG")},
            **env,
        }
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *("python3", "-m", service, "--port", str(port)),
                cwd=SHOP / "releases" / service / version,
                env=environment,
                stdout=output,
                stderr=output,
            )
        instance = Instance(port, process, log)
        self.instances.append(instance)
        self.urls.setdefault(service, instance.url)
        return instance

    async def ready(self, service: str, version: str, **env: str) -> Instance:
        instance = await self.start(service, version, **env)
        await instance.ready()
        return instance


@pytest.fixture
async def shop(database_url: str, tmp_path: Path) -> AsyncIterator[Shop]:
    running = Shop(database_url, tmp_path)
    try:
        yield running
    finally:
        await asyncio.gather(*(instance.terminate() for instance in running.instances))
