"""The sets that are served now, and who has them: the state of the flag server, without any protocol."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from hitless.flags.bundle import merged, version_of
from hitless.flags.flagset import FlagSet
from hitless.kit.errors import HitlessError, InvalidInput

TOKEN = "HITLESS_FLAGS_TOKEN"  # noqa: S105  the name of the variable with it, not a token

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
        """How a person would call it: its number tells apart those who say the same of themselves."""
        said = " ".join(each for each in (self.peer, f"({self.agent})" if self.agent else "") if each)
        return f"#{self.number} {self.protocol} {said}"


class Served:
    """Snapshot of the sets, replaced as a whole; every stream waits here for the next one."""

    def __init__(self, sets: Mapping[str, FlagSet], context: Mapping[str, str] | None = None) -> None:
        self.context = dict(context or {})  # laid over the context of every evaluation, and sent to those in process
        self.sets = dict(sets)
        self.all = merged(self.sets)
        self.version = version_of(self.sets)  # of all sets together, also of those that only a selector reaches
        self.changed_at = time.time()
        self.clients: dict[int, Client] = {}
        self.retired: frozenset[str] = frozenset()  # flags that this process served once and that are gone
        self._numbers = itertools.count(1)
        self._news = asyncio.Event()

    def replace(self, sets: Mapping[str, FlagSet]) -> bool:
        """Serve other sets from now on; False if they are the same."""
        version = version_of(sets)
        if version == self.version:
            return False
        fresh = merged(sets)
        self.retired = (self.retired | self.keys) - set(fresh.keys)
        self.sets, self.all, self.version, self.changed_at = dict(sets), fresh, version, time.time()
        self._news.set()
        self._news = asyncio.Event()
        return True

    @property
    def keys(self) -> frozenset[str]:
        """The flags of all sets."""
        return frozenset(key for each in (self.all, *self.sets.values()) for key in each.keys)

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
            if self.version != last:
                last = self.version
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
