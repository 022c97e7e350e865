"""From definitions to what is served: the store, the bundle of sets, and the flag server's answer on its own socket."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hitless.flags.bundle import DEFAULT, SetText, read_bundle, version_of, write_bundle
from hitless.flags.definitions import definition
from hitless.flags.edits import Wish
from hitless.flags.languages import Seen, check_languages
from hitless.flags.plain import plain
from hitless.flags.postgres import Definitions
from hitless.flags.stages import Members
from hitless.kit.errors import HitlessError, InvalidInput
from hitless.kit.fence import Fence
from hitless.kit.files import write_atomic

ANSWER_S = 5.0
LARGEST_ANSWER = 16_000_000  # bytes; 10,000 clients of 1 kB and some
BUNDLE = "flags.json"  # below the state folder


class Published:
    """Implements `hitless.flags.ports.Flags`: what it returns from is served."""

    def __init__(
        self,
        definitions: Definitions,
        bundle: Path,
        server: Path,
        *,
        groups: Mapping[str, Members] | None = None,
        fence: Fence | None = None,
        who: str = "hitless",
    ) -> None:
        self.definitions = definitions
        self.groups = dict(groups or {})
        self._bundle, self._server, self._fence, self._who = bundle, server, fence, who
        self._publishing = asyncio.Lock()

    async def definition(self, flag: str) -> str:
        """Return a flag's definition, empty if there is none."""
        return definition((await self.definitions.one(DEFAULT)).document, flag)

    async def served(self) -> bool:
        """Tell whether what is defined is what is served: not so after a kill between the two."""
        written = self._written(await self.definitions.sets())
        return await self.version() == version_of(read_bundle(written))

    async def put(self, flag: str, definition: str, why: str) -> str:
        """Define a flag of the default set, or remove it (empty); returns the version once it is served."""
        wish = Wish(definition=json.loads(definition)) if definition else Wish(remove=True)
        try:
            await self.definitions.change(flag, wish, self.groups, who=self._who, why=why)
        except InvalidInput as error:
            if definition or error.code != "unknown-flag":  # removing again what is gone does no harm
                raise
        return await self.publish()

    async def publish(self) -> str:
        """Serve what the store holds; called again after a kill it does no harm. Returns the version."""
        async with self._publishing:
            text = self._written(await self.definitions.sets())
            if self._fence is None:
                write_atomic(self._bundle, text)
            else:
                with self._fence.hold():
                    write_atomic(self._bundle, text)
            return str((await self._ask("POST", "/admin/reload"))["version"])

    async def version(self) -> str:
        """Return the version of the sets that are served."""
        return str((await self._ask("GET", "/admin/state"))["version"])

    async def clients(self) -> list[Seen]:
        """Return the connected clients."""
        clients = (await self._ask("GET", "/admin/state"))["clients"]
        return [Seen(**{name: str(client[name]) for name in Seen.__dataclass_fields__}) for client in clients]

    async def refuse_other_languages(self, flag: str) -> None:
        """Raise Refused `flag-bucketing` if a client in process would split the users of a flag in another way."""
        check_languages(await self.clients(), (await self.definitions.one(DEFAULT)).bucketing, flag)

    def _written(self, stored: Any) -> str:
        return write_bundle(
            tuple(
                SetText(
                    name=each.name,
                    bucketing=each.bucketing,
                    text=plain(each.document, self.groups, each.bucketing),
                )
                for each in stored
            )
        )

    async def _ask(self, method: str, path: str) -> dict[str, Any]:
        try:
            async with asyncio.timeout(ANSWER_S):
                head, body = await self._exchange(f"{method} {path} HTTP/1.0\r\nContent-Length: 0\r\n\r\n".encode())
        except (OSError, TimeoutError) as error:
            text = f"the flag server does not answer on {self._server}: {str(error) or 'no answer in time'}"
            raise HitlessError("flags-unreachable", text, "hitless doctor") from None
        try:
            answer: dict[str, Any] = json.loads(body)
        except ValueError:
            answer = {"errorDetails": "it hung up"}
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
