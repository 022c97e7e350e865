"""From the system file and what the gateway remembers to HAProxy's files. Pure.

Nothing here is changed by a reload: every place that an instance can ever take is declared, and who meets which
version is one row of a map. HAProxy runs inside the state folder, so all of our own paths are relative.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from hitless.plan.instances import INSTANCES_LIMIT, InstanceId, Slot
from hitless.plan.system import Service, System
from hitless.traffic import words
from hitless.traffic.memory import Memory
from hitless.traffic.record import LOG_FORMAT

ROUTING_MAP = "gateway/routing.map"
ROUTES_MAP = "gateway/routes.map"
SERVICES_MAP = "gateway/services.map"
GROUPS_MAP = "gateway/groups.map"
CONFIG = "gateway/haproxy.cfg"

SLOTS: tuple[Slot, ...] = ("a", "b")
BOUNDS_FIRST_BYTE = (2, 8)  # before it, a response that is waited for is never asked for again
NO_ROW = "-"  # of a service that nobody was sent to yet: names no backend
NO_PORT = 1  # of a place where nobody stands; it is under maintenance, nothing is ever sent there
COOKIE = "hitless-user"
COOKIE_AGE_S = 365 * 86400
PLACE_REQUESTS = 2000  # at once, of one instance; what comes beyond waits in the queue
QUEUE_S = 5.0
CONNECT_S = 1.0
REQUEST_S = 30.0  # for a client to send its request
KEEP_ALIVE_S = 10.0  # of a silent client connection; also how long a stop waits for it
RETRIES = 2
BUFFERED = 15_000  # bytes of a body that fit into HAProxy's buffer beside the headers
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
            SERVICES_MAP: self.services_map(),
            GROUPS_MAP: self.groups_map(),
        }

    def services_map(self) -> str:
        """Return the services that the internal listener knows."""
        return "".join(f"{words.service(name)} {name}\n" for name in self.system.services)

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
        blocks = [self._global(), self._ring(), self._defaults(), self._public(), self._internal()]
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
            f"server recorder 127.0.0.1:{words.port(self.recorder_port)} log-proto octet-count",
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

    def _public(self) -> list[str]:
        tls = self.system.gateway.tls
        bind = f"bind {words.address(self.system.gateway.listen)}"
        if tls is not None:
            crt = tls if tls.startswith("/") else f"{self.folder}/{tls}"
            bind += f" ssl crt {words.file(crt)} alpn h2,http/1.1"
        return [
            "frontend public",
            bind,
            *_LOG,
            *self._public_service(),
            _not_found("no-route", "no service answers this path"),
            *self._forwarded("https" if tls is not None else "http"),
            *self._user_of_client(),
            *_BAGGAGE,
            *self._cohort(),
        ]

    def _internal(self) -> list[str]:
        return [
            "frontend internal",
            f"bind {words.address(self.system.gateway.internal)}",
            *_LOG,
            f"http-request set-var(txn.service) path,field(2,/),map_str({SERVICES_MAP})",
            _not_found("no-service", "no service has this name"),
            'http-request set-path "/%[path,field(3,/,0)]"',
            "http-request set-var(txn.user) req.fhdr(x-hitless-user)",
            _USER_OF_BAGGAGE,
            *self._user_of_caller(),
            *self._cohort(),
        ]

    def _public_service(self) -> Iterator[str]:
        hosts = any(words.route(each.route)[0] for each in self.system.services.values() if each.route is not None)
        any_host = f"path,concat(/),map_beg({ROUTES_MAP})"
        if hosts:
            yield "http-request set-var(txn.host) req.hdr(host),field(1,:),lower"
            yield "http-request set-var(txn.path) path"
            yield f"http-request set-var(txn.service) var(txn.host),concat(,txn.path,/),map_beg({ROUTES_MAP})"
            yield f"http-request set-var(txn.service) {any_host} unless {{ var(txn.service) -m found }}"
        else:
            yield f"http-request set-var(txn.service) {any_host}"

    def _forwarded(self, protocol: str) -> Iterator[str]:
        """Say who asked, and what; from those who are not trusted nothing is believed."""
        trusted = " ".join(words.network(each) for each in self.system.gateway.trusted_proxies)
        if not trusted:
            yield "http-request del-header forwarded"
            yield "http-request set-header x-forwarded-for %[src]"
            yield f"http-request set-header x-forwarded-proto {protocol}"
            yield "http-request set-header x-forwarded-host %[req.hdr(host)]"
            return
        yield f"acl trusted src {trusted}"
        for name in ("forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"):
            yield f"http-request del-header {name} unless trusted"
        yield "http-request add-header x-forwarded-for %[src]"
        yield f"http-request set-header x-forwarded-proto {protocol} unless {{ req.hdr(x-forwarded-proto) -m found }}"
        yield (
            "http-request set-header x-forwarded-host %[req.hdr(host)] unless { req.hdr(x-forwarded-host) -m found }"
        )

    def _user_of_client(self) -> Iterator[str]:
        source = self.system.gateway.user
        if source is not None:
            yield f"http-request set-var(txn.user) {_fetch(source)}"
        else:
            fresh = f"unless {_HAS_USER}"
            yield f"http-request set-var(txn.user) req.cook({COOKIE})"
            yield f"http-request set-var(txn.fresh) uuid() {fresh}"
            yield "http-request set-var(txn.user) var(txn.fresh) if { var(txn.fresh) -m found }"
            secure = "; Secure" if self.system.gateway.tls is not None else ""
            cookie = f"{COOKIE}=%[var(txn.fresh)]; Path=/; Max-Age={COOKIE_AGE_S}; HttpOnly; SameSite=Lax{secure}"
            yield f'http-after-response add-header set-cookie "{cookie}" if {{ var(txn.fresh) -m found }}'
        yield "http-request del-header x-hitless-user"
        yield "http-request del-header x-hitless-bucket"

    def _user_of_caller(self) -> Iterator[str]:
        fetch = _fetch(self.system.gateway.user or f"cookie:{COOKIE}")
        yield f"http-request set-var(txn.user) {fetch} unless {_HAS_USER}"
        yield "http-request del-header x-hitless-bucket"

    def _cohort(self) -> Iterator[str]:
        yield from _TRACE
        yield from _RETRY
        yield "http-request set-var(txn.begun) date(0,ms)"
        yield f"http-request set-var(txn.row) var(txn.service),map_str({ROUTING_MAP})"
        yield "http-request set-var(txn.salt) var(txn.row),field(4,|)"
        yield "http-request set-var(txn.share) var(txn.row),field(3,|)"
        yield from _BUCKET
        chosen = "{ var(txn.bucket),sub(txn.share) lt 0 }"
        if self.system.groups:
            yield "http-request set-var(txn.group) var(txn.row),field(5,|)"
            in_group = f"{{ var(txn.group),concat(|,txn.user),map_str({GROUPS_MAP}) -m found }}"
            chosen = f"{chosen} or {in_group}"
        yield f"http-request set-var(txn.arm) var(txn.row),field(2,|) if {chosen}"
        yield "http-request set-var(txn.arm) var(txn.row),field(1,|) unless { var(txn.arm) -m found }"
        yield "http-request set-var(txn.version) var(txn.arm),field(2,~)"
        yield "use_backend %[var(txn.arm),field(1,~)]"

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
            *self._ours("flags"),
        ]

    def _ours(self, name: str) -> list[str]:
        said = (
            f'{{"code": "{name}-unreachable", "text": "the {name} process does not answer", "hint": "hitless doctor"}}'
        )
        return [
            f"backend {name}",
            "retries 1",
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


_WATCH = "inter 500ms fall 3 rise 2 observe layer7 error-limit 10 on-error mark-down"

_LOG = ("log ring@records format raw local0", f'log-format "{LOG_FORMAT}"')

USER_LENGTH = 200  # bytes; who sends a longer name is nobody
_HAS_USER = f"{{ var(txn.user) -m len 1:{USER_LENGTH} }}"
_HAS_BAGGAGE = "{ req.fhdr(baggage) -m found }"
_OURS = "hitless.user=%[var(txn.user),url_enc]"
_USER_OF_BAGGAGE = (
    "http-request set-var(txn.user) \"req.fhdr(baggage),regsub(.*hitless.user=,),field(1,',; '),url_dec\""
    f" if !{_HAS_USER} {{ req.fhdr(baggage) -m sub hitless.user= }}"
)

# Ours is the one header, with ours first: OpenTelemetry passes it on, the internal listener reads it.
_BAGGAGE = (
    "http-request del-header baggage if { req.fhdr(baggage) -m sub hitless.user }",
    f'http-request set-header baggage "{_OURS},%[req.fhdr(baggage)]" if {_HAS_USER} {_HAS_BAGGAGE}',
    f'http-request set-header baggage "{_OURS}" if {_HAS_USER} !{_HAS_BAGGAGE}',
)

# A trace that came in is kept. A new one is made of one random UUID: 32 hexadecimal digits, 16 of them name the span.
_NEW_TRACE = "{ var(txn.uuid) -m found }"
_TRACE_ID = "".join(f"%[var(txn.uuid),bytes({part})]" for part in ("0,8", "9,4", "14,4", "19,4", "24,12"))
_SPAN_ID = "%[var(txn.uuid),bytes(24,12)]%[var(txn.uuid),bytes(9,4)]"
_TRACE = (
    "http-request set-var(txn.trace) req.hdr(traceparent),field(2,-) if { req.hdr(traceparent) -m len 55 }",
    "http-request set-var(txn.uuid) uuid() unless { var(txn.trace) -m found }",
    f'http-request set-var-fmt(txn.trace) "{_TRACE_ID}" if {_NEW_TRACE}',
    f'http-request set-header traceparent "00-%[var(txn.trace)]-{_SPAN_ID}-01" if {_NEW_TRACE}',
)

# Repeated is only what may be done twice and lies whole in the buffer. Connecting again is always safe.
_NOT_LARGE = f"{{ req.hdr_val(content-length) lt {BUFFERED} }}"
_SMALL = f"{_NOT_LARGE} {{ req.hdr_val(content-length) gt 0 }}"
_RETRY = (
    "acl idempotent method GET HEAD OPTIONS PUT DELETE TRACE",
    "acl keyed req.hdr(idempotency-key) -m found",
    "http-request disable-l7-retry if !idempotent !keyed",
    f"http-request wait-for-body time {REQUEST_S:g}s if {_SMALL} idempotent or {_SMALL} keyed",
    f"http-request set-var(txn.upload) bool(true) if !METH_GET !METH_HEAD !{_NOT_LARGE}",
)

_HAS_BUCKET = "{ var(txn.bucket) -m found }"
_BUCKET = (
    f"http-request set-var(txn.bucket) var(txn.user),concat(,txn.salt),crc32,mod(10000) if {_HAS_USER}",
    f"http-request set-header x-hitless-user %[var(txn.user)] if {_HAS_BUCKET}",
    f"http-request set-header x-hitless-bucket %[var(txn.bucket)] if {_HAS_BUCKET}",
)


def _first_byte(service: Service) -> tuple[str, ...]:
    """Bound the time to the first byte of an answer, and only that: HAProxy's own bound would also end silent streams.

    The time runs from the connection on, so a long upload is left out. A request that is repeated because it was late
    finds itself late at once. The rules are also asked when the instance hangs up, hence the look at the clock.
    """
    bound = words.milliseconds(service.timeout)
    return (
        f"timeout server {words.milliseconds(service.idle)}",
        f"tcp-response inspect-delay {bound}",
        "tcp-response content close if { var(txn.late) -m found }",
        "tcp-response content accept if { status -m found } or { var(txn.upload) -m found }",
        f"tcp-response content set-var(txn.late) bool(true) if {{ date(0,ms),sub(txn.begun) ge {bound[:-2]} }}",
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


def _fetch(source: str) -> str:
    """Return where the user of a client stands: `header:NAME` or `cookie:NAME`."""
    kind, _, name = source.partition(":")
    return f"req.cook({words.header(name)})" if kind == "cookie" else f"req.fhdr({words.header(name)})"


def _not_found(code: str, text: str) -> str:
    said = f'{{"code": "{code}", "text": "{text}"}}'
    return (
        f"http-request return status 404 content-type application/json string '{said}'"
        " unless { var(txn.service) -m found }"
    )
