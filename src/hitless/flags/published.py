"""From a definition to what is served: the store, the set file, and the flag server's answer on its own socket."""

import asyncio
import json
from pathlib import Path
from typing import Any

from hitless.flags.definitions import definition
from hitless.flags.languages import Seen
from hitless.flags.postgres import Definitions
from hitless.kit.errors import HitlessError
from hitless.kit.files import write_atomic

ANSWER_S = 5.0
LARGEST_ANSWER = 16_000_000  # bytes; 10,000 clients of 1 kB and some


class Published:
    """Implements `hitless.flags.ports.Flags`: what it returns from is served."""

    def __init__(self, definitions: Definitions, set_file: Path, server: Path, who: str = "hitless") -> None:
        self._definitions = definitions
        self._file = set_file
        self._server = server
        self._who = who

    async def definition(self, flag: str) -> str:
        """Return a flag's definition as it lies in the file that is served; empty if there is none."""
        try:
            return definition(self._file.read_text(encoding="utf-8"), flag)
        except FileNotFoundError:
            return ""

    async def put(self, flag: str, definition: str, why: str = "a step of a change") -> str:
        """Define a flag, or remove it (empty); returns the version of the set once it is served."""
        await self._definitions.change(flag, definition, who=self._who, why=why)
        return await self.publish()

    async def publish(self) -> str:
        """Serve what the store holds; called again after a kill it does no harm. Returns the version."""
        write_atomic(self._file, await self._definitions.document())
        return str((await self._ask("POST", "/admin/reload"))["version"])

    async def version(self) -> str:
        """Return the version of the set that is served."""
        return str((await self._ask("GET", "/admin/state"))["version"])

    async def clients(self) -> list[Seen]:
        """Return the connected clients."""
        clients = (await self._ask("GET", "/admin/state"))["clients"]
        return [Seen(**{name: str(client[name]) for name in Seen.__dataclass_fields__}) for client in clients]

    async def waiting_for(self, version: str) -> tuple[str, ...]:
        """Name the connected clients that have not yet this version."""
        return tuple(client.name for client in await self.clients() if client.version != version)

    async def _ask(self, method: str, path: str) -> dict[str, Any]:
        try:
            async with asyncio.timeout(ANSWER_S):
                head, body = await self._exchange(f"{method} {path} HTTP/1.0\r\nContent-Length: 0\r\n\r\n".encode())
        except (OSError, TimeoutError) as error:
            text = f"the flag server does not answer on {self._server}: {str(error) or 'no answer in time'}"
            raise HitlessError("flags-unreachable", text, "hitless doctor") from None
        answer: dict[str, Any] = json.loads(body)
        if b" 200 " not in head.split(b"\r\n", 1)[0]:
            raise HitlessError(
                "flags-refused", f"the flag server refused: {answer.get('errorDetails')}", "hitless doctor"
            )
        return answer

    async def _exchange(self, request: bytes) -> tuple[bytes, bytes]:
        reader, writer = await asyncio.open_unix_connection(str(self._server), limit=LARGEST_ANSWER)
        try:
            writer.write(request)
            answer = b""
            while (piece := await reader.read(65_536)) and len(answer) <= LARGEST_ANSWER:
                answer += piece
            head, _, body = answer.partition(b"\r\n\r\n")
            return head, body
        finally:
            writer.close()
