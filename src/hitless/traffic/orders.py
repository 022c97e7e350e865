"""Which commands bring HAProxy to where the gateway's memory says it should be. Pure."""

from collections.abc import Iterator

from hitless.plan.instances import InstanceId
from hitless.traffic import words
from hitless.traffic.layout import NO_PORT, ROUTING_MAP
from hitless.traffic.memory import Memory
from hitless.traffic.ports import Place

_MAINTENANCE, _DRAIN = 0x01, 0x08  # srv_admin_state: what was forced at run time, or by `disabled` at the start


def orders_for(instance: InstanceId, place: Place | None) -> tuple[str, ...]:
    """Return the commands that put an instance at a place; None: nowhere."""
    watched, standing_in = words.servers(instance)
    if place is None:
        return tuple(
            order
            for server in (standing_in, watched)
            for order in (f"set server {server} state maint", f"set server {server} addr 127.0.0.1 port {NO_PORT}")
        )
    if place.state == "drain":
        return (f"set server {standing_in} state drain", f"set server {watched} state drain")
    return tuple(
        order
        for server in (watched, standing_in)
        for order in (
            f"set server {server} addr 127.0.0.1 port {words.port(place.port)}",
            f"set server {server} state ready",
            *((f"set server {server} health up",) if server == watched else ()),  # no wait for the first checks
        )
    )


def orders_for_all(memory: Memory, epoch: int, table: str, servers: str) -> tuple[str, ...]:
    """Return what is missing, from HAProxy's answers to `show map` and `show servers state`."""
    return (*_routing_orders(memory, epoch, table), *_place_orders(memory, servers))


def _routing_orders(memory: Memory, epoch: int, table: str) -> Iterator[str]:
    present = dict(line.split(" ", 2)[1:3] for line in table.splitlines() if line.count(" ") == 2)
    for name, routing in memory.routings.items():
        row = words.row(routing, epoch)
        if present.get(name, "").rpartition("|")[0] != row.rpartition("|")[0]:
            yield f"set map {ROUTING_MAP} {name} {row}"


def _place_orders(memory: Memory, servers: str) -> Iterator[str]:
    for instance, (state, port) in _seen(servers).items():
        place = memory.places.get(instance)
        if (state, port) != ((place.state, place.port) if place else ("maint", port)):
            yield from orders_for(instance, place)


def _seen(servers: str) -> dict[InstanceId, tuple[str, int]]:
    """Read `show servers state` (management guide 9.3): backend is field 2, server 4, admin state 7, port 19."""
    seen = {}
    for line in servers.splitlines():
        fields = line.split()
        if len(fields) < 19 or not fields[3].startswith("i"):
            continue
        service, _, slot = fields[1].rpartition(".")
        if slot in ("a", "b"):
            admin = int(fields[6])
            state = "maint" if admin & _MAINTENANCE else "drain" if admin & _DRAIN else "ready"
            seen[InstanceId.parse(f"{service}-{slot}{fields[3][1:]}")] = (state, int(fields[18]))
    return seen
