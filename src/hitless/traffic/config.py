"""From the system file and what the gateway remembers to HAProxy's files. Pure.

Nothing here is changed by a reload: every place that an instance can ever take is declared, and who meets which
version is one row of a map. HAProxy runs inside the state folder, so all of our own paths are relative.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from hitless.plan.instances import INSTANCES_LIMIT, SLOTS, InstanceId, Slot
from hitless.plan.system import Service, System
from hitless.traffic import listeners, words
from hitless.traffic.layout import CONFIG, GROUPS_MAP, NO_PORT, NO_ROW, ROUTES_MAP, ROUTING_MAP
from hitless.traffic.listeners import REQUEST_S
from hitless.traffic.memory import Memory

BOUNDS_FIRST_BYTE = (2, 8)  # before it, a response that is waited for is never asked for again
PLACE_REQUESTS = 2000  # at once, of one instance; what comes beyond waits in the queue
QUEUE_S = 5.0
CONNECT_S = 1.0
KEEP_ALIVE_S = 10.0  # of a silent client connection; also how long a stop waits for it
RETRIES = 3  # a second apart at the same instance, which is then back
RING_BYTES = 32 << 20  # of records that wait for the recorder
DESCRIPTORS = 40_000
LONGEST_STOP_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayConfig:
    """Everything HAProxy is started from. All texts raise InvalidInput for words that may not stand in them."""

    system: System
    memory: Memory
    recorder_port: int
    sockets: str = "run"  # folder of the unix sockets: relative to the state folder, or absolute
    folder: str = "."  # of the system file
    version: tuple[int, ...] = BOUNDS_FIRST_BYTE  # of the HAProxy that will read it
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # name -> users; only the map of groups asks

    def files(self) -> dict[str, str]:
        """Return the content of each file by its path below the state folder."""
        return {
            CONFIG: self.text(),
            ROUTING_MAP: self.routing_map(),
            ROUTES_MAP: self.routes_map(),
            GROUPS_MAP: self.groups_map(),
        }

    def routing_map(self) -> str:
        """Return who meets which version: a row for each service."""
        known, epoch = self.memory.routings, self.memory.epoch
        rows = {name: words.row(known[name], epoch) if name in known else NO_ROW for name in self.system.services}
        return "".join(f"{words.service(name)} {row}\n" for name, row in rows.items())

    def routes_map(self) -> str:
        """Return which service answers a path: `host/prefix/` or `/prefix/`."""
        routes = {
            "".join(words.route(service.route)): words.service(name)
            for name, service in self.system.services.items()
            if service.route is not None
        }
        return "".join(f"{route} {name}\n" for route, name in sorted(routes.items()))

    def groups_map(self) -> str:
        """Return who is in which group."""
        keys = {words.group_key(group, user) for group, users in self.groups.items() for user in users}
        return "".join(f"{key} 1\n" for key in sorted(keys))

    def text(self) -> str:
        """Return haproxy.cfg."""
        blocks = [self._global(), self._ring(), self._defaults(), listeners.public(self.system, self.folder)]
        blocks.append(listeners.internal(self.system))
        blocks += [
            self._backend(name, service, slot) for name, service in self.system.services.items() for slot in SLOTS
        ]
        blocks += [self._control(), self._grpc()]
        return "\n\n".join("\n    ".join(block) for block in blocks) + "\n"

    def _global(self) -> list[str]:
        drain_s = max((service.drain for service in self.system.services.values()), default=0.0)
        return [
            "global",
            f"fd-hard-limit {DESCRIPTORS}",
            f"stats socket {words.file(f'unix@{self.sockets}/haproxy.sock')} mode 600 level admin",
            "stats timeout 30s",
            f"hard-stop-after {words.milliseconds(min(drain_s, LONGEST_STOP_S) + KEEP_ALIVE_S)}",
            "ssl-default-bind-options ssl-min-ver TLSv1.2",
        ]

    def _ring(self) -> list[str]:
        return [
            "ring records",
            "format raw",
            "maxlen 1024",
            f"size {RING_BYTES}",
            "timeout connect 1s",
            "timeout server 10s",
            f"server recorder 127.0.0.1:{words.port(self.recorder_port)} log-proto legacy",
        ]

    def _defaults(self) -> list[str]:
        idle_s = max((service.idle for service in self.system.services.values()), default=3600.0)
        return [
            "defaults",
            "mode http",
            f"timeout connect {words.milliseconds(CONNECT_S)}",
            f"timeout client {words.milliseconds(idle_s)}",
            f"timeout server {words.milliseconds(idle_s)}",
            f"timeout http-request {words.milliseconds(REQUEST_S)}",
            f"timeout http-keep-alive {words.milliseconds(KEEP_ALIVE_S)}",
            f"timeout queue {words.milliseconds(QUEUE_S)}",
            "timeout check 2s",
            "option idle-close-on-response",
            "option dontlognull",
            "http-reuse safe",
            f"retries {RETRIES}",
            "option redispatch 1",
        ]

    def _backend(self, name: str, service: Service, slot: Slot) -> list[str]:
        return [
            f"backend {words.backend(name, slot)}",
            "balance leastconn",
            "option allbackups",
            "option httpchk",
            f"http-check send meth GET uri {words.path(service.ready)} ver HTTP/1.1 hdr host {words.service(name)}",
            "http-check expect status 200",
            *(_first_byte(service) if self.version >= BOUNDS_FIRST_BYTE else _first_byte_of_old(service)),
            f"timeout tunnel {words.milliseconds(service.idle)}",
            "retry-on conn-failure empty-response junk-response 503",
            f"default-server maxconn {PLACE_REQUESTS} {_WATCH}",
            *(self._watched(InstanceId(name, slot, number)) for number in range(1, INSTANCES_LIMIT + 1)),
            *(self._standing_in(InstanceId(name, slot, number)) for number in range(1, INSTANCES_LIMIT + 1)),
        ]

    def _watched(self, instance: InstanceId) -> str:
        return f"server i{instance.number} {self._where(instance)} check"

    def _standing_in(self, instance: InstanceId) -> str:
        """The same place, believed to be up: used only when every watched one is down."""
        return f"server r{instance.number} {self._where(instance)} backup"

    def _where(self, instance: InstanceId) -> str:
        place = self.memory.places.get(instance)
        if place is None or place.state != "ready":  # what it had in flight has died with the HAProxy before this one
            return f"127.0.0.1:{words.port(place.port) if place else NO_PORT} disabled"
        return f"127.0.0.1:{words.port(place.port)}"

    def _control(self) -> list[str]:
        return [
            "frontend control",
            f"bind {words.address(self.system.control.listen)}",
            "use_backend flags if { path_beg /ofrep/ /flags/ }",
            "default_backend controller",
            "",
            *self._ours("controller"),
            "",
            *self._ours("flags", _flag_rules()),
        ]

    def _ours(self, name: str, rules: tuple[str, ...] = ()) -> list[str]:
        said = (
            f'{{"code": "{name}-unreachable", "text": "the {name} process does not answer", "hint": "hitless doctor"}}'
        )
        return [
            f"backend {name}",
            "retries 1",
            *rules,
            f"http-error status 503 content-type application/json string '{said}'",
            f"server {name} {words.file(f'unix@{self.sockets}/{name}.sock')}",
        ]

    def _grpc(self) -> list[str]:
        return [
            "listen flags-grpc",
            "mode tcp",
            "no option idle-close-on-response",
            f"bind {words.address(self.system.control.grpc)}",
            f"server flags {words.file(f'unix@{self.sockets}/flags-grpc.sock')}",
        ]


FLAG_RATE = 20_000  # requests of flags per second from one address; a browser needs a few in a minute
_SLOW_DOWN = '{"errorCode": "GENERAL", "errorDetails": "too many requests from one address"}'


def _flag_rules() -> tuple[str, ...]:
    return (
        "stick-table type ipv6 size 100k expire 10s store http_req_rate(1s)",
        "http-request track-sc0 src",
        (
            "http-request return status 429 content-type application/json hdr retry-after 1"
            f" string '{_SLOW_DOWN}' if {{ sc_http_req_rate(0) gt {FLAG_RATE} }}"
        ),
        "http-request set-header x-forwarded-for %[src]",
    )


CLOCKS_APART_MS = 50  # HAProxy's clock of its timers and that of the day, at most
_WATCH = "inter 500ms fastinter 100ms fall 3 rise 2 observe layer7 error-limit 10 on-error mark-down"


def _first_byte(service: Service) -> tuple[str, ...]:
    """Bound the time to the first byte of an answer, and only that: HAProxy's own bound would also end silent streams.

    The time runs from the connection on, so a long upload is left out. A request that is repeated because it was late
    finds itself late at once. The rules are also asked when the instance hangs up, hence the look at the clock. That is
    another clock than the one of the delay: it may stand a little before the bound when the delay is over.
    """
    bound = words.milliseconds(service.timeout)
    late_ms = int(bound[:-2]) - min(CLOCKS_APART_MS, int(bound[:-2]) // 10)
    return (
        f"timeout server {words.milliseconds(service.idle)}",
        f"tcp-response inspect-delay {bound}",
        "tcp-response content close if { var(txn.late) -m found }",
        "tcp-response content accept if { status -m found } or { var(txn.upload) -m found }",
        f"tcp-response content set-var(txn.late) bool(true) if {{ date(0,ms),sub(txn.begun) ge {late_ms} }}",
        "tcp-response content close if { var(txn.late) -m found }",
        'http-after-response set-status 504 reason "Gateway Timeout" if { var(txn.late) -m found }',
    )


def _first_byte_of_old(service: Service) -> tuple[str, ...]:
    """Do nearly the same where waiting for an answer ends retries: streams are known by what the client accepts."""
    idle = words.milliseconds(service.idle)
    return (
        f"timeout server {words.milliseconds(service.timeout)}",
        f"http-request set-timeout server {idle} if {{ req.hdr(accept) -m sub text/event-stream }}",
    )
