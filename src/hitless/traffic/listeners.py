"""What HAProxy does with a request before a version answers it: who is it, whose is it, may it be repeated. Pure."""

from collections.abc import Iterator

from hitless.plan.system import System
from hitless.traffic import words
from hitless.traffic.layout import GROUPS_MAP, ROUTES_MAP, ROUTING_MAP
from hitless.traffic.record import LOG_FORMAT

COOKIE = "hitless-user"
COOKIE_AGE_S = 365 * 86400
REQUEST_S = 30.0  # for a client to send its request
BUFFERED = 15_000  # bytes of a body that fit into HAProxy's buffer beside the headers


def public(system: System, folder: str) -> list[str]:
    """Return the frontend where users come in; `folder` is the one of the system file."""
    tls = system.gateway.tls
    bind = f"bind {words.address(system.gateway.listen)}"
    if tls is not None:
        crt = tls if tls.startswith("/") else f"{folder}/{tls}"
        bind += f" ssl crt {words.file(crt)} alpn h2,http/1.1"
    return [
        "frontend public",
        bind,
        *_LOG,
        *_forwarded(system, "https" if tls is not None else "http"),
        *_user_of_client(system),
        *_BAGGAGE,
        *_TRACE,
        *_RETRY,
        *_row_of_route(system),
        _not_found("no-route", "no service answers this path"),
        *_cohort(system),
    ]


def internal(system: System) -> list[str]:
    """Return the frontend where services call each other: `/{service}/...`."""
    return [
        "frontend internal",
        f"bind {words.address(system.gateway.internal)}",
        *_LOG,
        "http-request set-var(txn.user) req.fhdr(x-hitless-user)",
        _USER_OF_BAGGAGE,
        *_user_of_caller(system),
        *_TRACE,
        *_RETRY,
        f"http-request set-var(txn.row) path,field(2,/),map_str({ROUTING_MAP})",
        _not_found("no-service", "no service has this name"),
        'http-request set-path "/%[path,field(3,/,0)]"',
        *_cohort(system),
    ]


def _row_of_route(system: System) -> Iterator[str]:
    """Find the service by host and path, and the row of its routing, in one go. Nothing may wait after this."""
    hosts = any(words.route(each.route)[0] for each in system.services.values() if each.route is not None)
    row = f"map_beg({ROUTES_MAP}),map_str({ROUTING_MAP})"
    if not hosts:
        yield f"http-request set-var(txn.row) path,concat(/),{row}"
        return
    yield "http-request set-var(txn.host) req.hdr(host),field(1,:),lower"
    yield "http-request set-var(txn.path) path"
    yield f"http-request set-var(txn.row) var(txn.host),concat(,txn.path,/),{row}"
    yield f"http-request set-var(txn.row) path,concat(/),{row} unless {{ var(txn.row) -m found }}"


def _forwarded(system: System, protocol: str) -> Iterator[str]:
    """Say who asked, and what; from those who are not trusted nothing is believed."""
    trusted = " ".join(words.network(each) for each in system.gateway.trusted_proxies)
    if not trusted:
        yield "http-request del-header forwarded"
        yield "http-request del-header x-forwarded- -m beg"
        yield "http-request add-header x-forwarded-for %[src]"
        yield f"http-request add-header x-forwarded-proto {protocol}"
        yield "http-request add-header x-forwarded-host %[req.fhdr(host)]"
        return
    yield f"acl trusted src {trusted}"
    for name in ("forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"):
        yield f"http-request del-header {name} unless trusted"
    yield "http-request add-header x-forwarded-for %[src]"
    yield f"http-request set-header x-forwarded-proto {protocol} unless {{ req.hdr(x-forwarded-proto) -m found }}"
    yield ("http-request set-header x-forwarded-host %[req.hdr(host)] unless { req.hdr(x-forwarded-host) -m found }")


def _user_of_client(system: System) -> Iterator[str]:
    source = system.gateway.user
    if source is not None:
        yield f"http-request set-var(txn.user) {_fetch(source)}"
    else:
        fresh = f"unless {_HAS_USER}"
        yield f"http-request set-var(txn.user) req.cook({COOKIE})"
        yield f"http-request set-var(txn.fresh) uuid() {fresh}"
        yield "http-request set-var(txn.user) var(txn.fresh) if { var(txn.fresh) -m found }"
        secure = "; Secure" if system.gateway.tls is not None else ""
        cookie = f"{COOKIE}=%[var(txn.fresh)]; Path=/; Max-Age={COOKIE_AGE_S}; HttpOnly; SameSite=Lax{secure}"
        yield f'http-after-response add-header set-cookie "{cookie}" if {{ var(txn.fresh) -m found }}'
    yield _NOT_FROM_OUTSIDE


def _user_of_caller(system: System) -> Iterator[str]:
    fetch = _fetch(system.gateway.user or f"cookie:{COOKIE}")
    yield f"http-request set-var(txn.user) {fetch} unless {_HAS_USER}"
    yield r"http-request unset-var(txn.user) if { var(txn.user) -m sub \r \n }"  # it was decoded, and becomes a header
    yield _NOT_FROM_OUTSIDE


def _cohort(system: System) -> Iterator[str]:
    yield "http-request set-var(txn.begun) date(0,ms)"
    yield "http-request set-var(txn.salt) var(txn.row),field(4,|)"
    yield "http-request set-var(txn.share) var(txn.row),field(3,|),add(0)"  # kept as a number, not as a text
    yield from _BUCKET
    chosen = "{ var(txn.bucket),sub(txn.share) lt 0 }"
    if system.groups:
        in_group = f"{{ var(txn.row),field(5,|),concat(|,txn.user),map_str({GROUPS_MAP}) -m found }}"
        chosen = f"{chosen} or {in_group}"
    yield f"http-request set-var(txn.arm) var(txn.row),field(2,|) if {chosen}"
    yield "http-request set-var(txn.arm) var(txn.row),field(1,|) unless { var(txn.arm) -m found }"
    yield "use_backend %[var(txn.arm),field(1,~)]"


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
    f'http-request add-header baggage "{_OURS}" if {_HAS_USER} !{_HAS_BAGGAGE}',
)

# A trace that came in is kept; a new one is random. `rand` is 32 bits, written as 16 digits of which the last 8 count.
_TRACED = "{ req.fhdr(traceparent) -m len 55 }"
_DIGITS = "%[rand,hex,bytes(8,8),lower]"
_TRACE = (
    f"http-request set-header traceparent 00-{4 * _DIGITS}-{2 * _DIGITS}-01 unless {_TRACED}",
    "http-request set-var(txn.trace) req.fhdr(traceparent),field(2,-)",
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
    f"http-request add-header x-hitless-user %[var(txn.user)] if {_HAS_BUCKET}",
    f"http-request add-header x-hitless-bucket %[var(txn.bucket)] if {_HAS_BUCKET}",
)
_NOT_FROM_OUTSIDE = "http-request del-header x-hitless- -m beg"  # what we tell services; they may believe it


def _fetch(source: str) -> str:
    """Return where the user of a client stands: `header:NAME` or `cookie:NAME`."""
    kind, _, name = source.partition(":")
    return f"req.cook({words.header(name)})" if kind == "cookie" else f"req.fhdr({words.header(name)})"


def _not_found(code: str, text: str) -> str:
    said = f'{{"code": "{code}", "text": "{text}"}}'
    return (
        f"http-request return status 404 content-type application/json string '{said}'"
        " unless { var(txn.row) -m found }"
    )
