"""Finds TCP ports that nobody holds and no outgoing connection will take meanwhile."""

import socket
from collections.abc import Collection
from pathlib import Path

from hitless.kit.errors import HitlessError
from hitless.runtime.rules import port_candidates

EPHEMERAL_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port(seed: int, taken: Collection[int] = ()) -> int:
    """Return a port that can be bound on every address now; the seed says where to begin looking.

    Raises HitlessError `no-port` if there is none.
    """
    low, high = (int(word) for word in EPHEMERAL_PORTS.read_text().split())
    for port in port_candidates((low, high), taken, seed):
        if _is_free(port):
            return port
    raise HitlessError("no-port", "no TCP port is free on this machine", "hitless doctor")


def _is_free(port: int) -> bool:
    both = socket.has_dualstack_ipv6()
    family, host = (socket.AF_INET6, "::") if both else (socket.AF_INET, "")
    try:
        with socket.create_server((host, port), family=family, dualstack_ipv6=both):  # for a moment only
            return True
    except OSError:
        return False
