"""Whether the connected clients would put the same user into the same bucket. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from hitless.flags.bucketing import Bucketing
from hitless.kit.errors import Refused

# What today's official in-process providers hash with, by the user agent of their gRPC library.
_GENERATIONS: dict[str, Bucketing] = {
    "grpc-python": "v3",
    "grpc-node": "v2",
    "grpc-go": "v2",
    "grpc-java": "v2",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A connected client as the server sees it."""

    name: str
    protocol: str
    agent: str
    version: str

    @property
    def evaluates_itself(self) -> bool:
        """Whether it takes the set and evaluates in its own process."""
        return self.protocol == "flagd.sync.v1"


def check_languages(clients: Iterable[Seen], bucketing: Bucketing, flag: str) -> None:
    """Refuse a share of users on a flag that a connected client would split in another way.

    Raises Refused `flag-bucketing`. Clients that ask for each evaluation are split by us, so they never disagree.
    """
    others = [
        client.name
        for client in clients
        if client.evaluates_itself and _generation(client.agent) not in (None, bucketing)
    ]
    if others:
        text = f"flag {flag}: {len(others)} clients in process do not bucket by {bucketing}: {', '.join(others[:5])}"
        hint = "let them evaluate remotely (RPC or OFREP), or pin the set to their generation"
        raise Refused("flag-bucketing", text, hint)


def _generation(agent: str) -> Bucketing | None:
    return next((generation for library, generation in _GENERATIONS.items() if library in agent), None)
