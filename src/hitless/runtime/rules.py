"""When a start counts as failed, and which port an instance gets. Pure."""

from collections.abc import Collection, Iterator

from hitless.runtime.ports import ProcessState

CRASHES_LIMIT = 2  # exits before ready; the first may be bad luck, the second is the version
LOWEST_PORT, HIGHEST_PORT = 10_240, 65_535


def crashes(state: ProcessState | None, restarts_before: int) -> bool:
    """Tell whether an instance that is not ready yet has ended too often to wait for it any longer."""
    return state is not None and state.restarts - restarts_before >= CRASHES_LIMIT


def port_candidates(ephemeral: tuple[int, int], taken: Collection[int], first: int) -> Iterator[int]:
    """Yield ports for an instance, from `first` on and around, never from the range of outgoing connections.

    Otherwise any such connection could take the port while its instance is being restarted.
    """
    low, high = ephemeral
    span = HIGHEST_PORT - LOWEST_PORT + 1
    for offset in range(span):
        port = LOWEST_PORT + (first - LOWEST_PORT + offset) % span
        if not low <= port <= high and port not in taken:
            yield port
