"""When a start counts as failed, and which port an instance gets. Pure."""

from collections.abc import Collection, Iterator

from hitless.runtime.ports import ProcessState

CRASHES_LIMIT = 2  # exits before ready; the first may be bad luck, the second is the version
LOWEST_PORT, HIGHEST_PORT = 10_240, 65_535


def crashes(state: ProcessState | None, restarts_before: int) -> bool:
    """Tell whether an instance that is not ready yet has ended too often to wait for it any longer."""
    return state is not None and state.restarts - restarts_before >= CRASHES_LIMIT


def port_candidates(ephemeral: tuple[int, int], taken: Collection[int], seed: int) -> Iterator[int]:
    """Yield free ports from one on that the seed chooses; those of outgoing connections only when all others are gone.

    Any such connection could take the port while the process that listens on it is being restarted. Every port is as
    likely as another: systems that begin at different seeds do not meet in one corner.
    """
    low, high = ephemeral
    ports = range(LOWEST_PORT, HIGHEST_PORT + 1)
    for group in ([p for p in ports if not low <= p <= high], [p for p in ports if low <= p <= high]):
        for offset in range(len(group)):
            port = group[(seed + offset) % len(group)]
            if port not in taken:
                yield port
