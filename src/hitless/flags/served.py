"""The set that is served now, and who has it: the state of the flag server, without any protocol."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hitless.flags.bucketing import Bucketing
from hitless.flags.flagset import FlagSet
from hitless.kit.errors import HitlessError, InvalidInput

STREAMS = 10_000  # connected clients; one more is told to come back later


class TooManyStreams(HitlessError):
    """The bound on connected clients is reached."""


@dataclass(slots=True, kw_only=True)
class Client:
    """One connected stream."""

    number: int
    protocol: str  # ofrep-sse | flagd.sync.v1 | flagd.evaluation.v1 | flagd.evaluation.v2
    peer: str
    agent: str
    since: float = field(default_factory=time.time)  # seconds since the epoch
    version: str = ""  # the set that it was sent last; empty: none yet

    @property
    def name(self) -> str:
        """How a person would call it."""
        return f"{self.protocol} {self.peer} ({self.agent})"


class Served:
    """Snapshot of the sets, replaced as a whole; every stream waits here for the next one."""

    def __init__(self, sets: Mapping[str, FlagSet], context: Mapping[str, str] | None = None) -> None:
        self.context = dict(context or {})  # laid over the context of every evaluation, and sent to those in process
        self.sets = dict(sets)
        self.all = merged(self.sets)
        self.changed_at = time.time()
        self.clients: dict[int, Client] = {}
        self.retired: frozenset[str] = frozenset()  # flags that this process served once and that are gone
        self._numbers = itertools.count(1)
        self._news = asyncio.Event()

    def replace(self, sets: Mapping[str, FlagSet]) -> bool:
        """Serve other sets from now on; False if they are the same."""
        fresh = merged(sets)
        if fresh.version == self.all.version:
            return False
        self.retired = (self.retired | set(self.all.keys)) - set(fresh.keys)
        self.sets, self.all, self.changed_at = dict(sets), fresh, time.time()
        self._news.set()
        self._news = asyncio.Event()
        return True

    def selected(self, selector: str) -> FlagSet:
        """Return the set that a client selects: `flagSetId=ID`, a name, or all for nothing. Raises InvalidInput."""
        if not selector:
            return self.all
        asked = selector.removeprefix("flagSetId=").removeprefix("source=")
        for name, each in self.sets.items():
            if asked in (each.metadata.get("flagSetId"), name):
                return each
        raise InvalidInput("unknown-set", f"there is no set of flags {selector!r}", "select by flagSetId=ID")

    async def versions(self) -> AsyncIterator[str]:
        """Yield the version now and each later one; a slow reader skips those in between."""
        last = ""
        while True:
            news = self._news
            if self.all.version != last:
                last = self.all.version
                yield last
            else:
                await news.wait()

    @contextmanager
    def connected(self, protocol: str, peer: str, agent: str) -> Iterator[Client]:
        """Count a stream as connected. Raises TooManyStreams."""
        if len(self.clients) >= STREAMS:
            raise TooManyStreams("too-many-streams", f"{STREAMS} clients are connected", "come back later")
        client = Client(number=next(self._numbers), protocol=protocol, peer=peer[:100], agent=agent[:200])
        self.clients[client.number] = client
        try:
            yield client
        finally:
            del self.clients[client.number]

    def waiting_for(self, version: str) -> tuple[str, ...]:
        """Name the connected clients that have not this version."""
        return tuple(client.name for client in self.clients.values() if client.version != version)


def merged(sets: Mapping[str, FlagSet]) -> FlagSet:
    """Lay several sets over one another: of two flags of one name, the later set's counts."""
    if len(sets) == 1:
        return next(iter(sets.values()))
    flags: dict[str, Any] = {}
    evaluators: dict[str, Any] = {}
    for each in sets.values():
        evaluators |= json.loads(each.text).get("$evaluators") or {}
        for key, flag in each.definitions.items():
            own = flag.get("metadata") or {}
            flags[key] = {**flag, "metadata": {**each.metadata, **own}}
    bucketing: Bucketing = next(iter(sets.values())).bucketing if sets else "v3"
    return FlagSet.parse(json.dumps({"flags": flags, "$evaluators": evaluators}), bucketing)


def read_sets(paths: Mapping[str, Path], bucketing: Bucketing) -> dict[str, FlagSet]:
    """Read set files. Raises HitlessError `set-unreadable` or InvalidInput `flags-invalid`."""
    try:
        return {name: FlagSet.parse(path.read_text(encoding="utf-8"), bucketing) for name, path in paths.items()}
    except (OSError, UnicodeDecodeError) as error:
        raise HitlessError("set-unreadable", f"the set file cannot be read: {error}", "hitless doctor") from None
