"""What a load run asks for, and which request is due when. Pure."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from hitless.kit.errors import InvalidInput

RATE_LIMIT = 10_000.0  # requests per second
SECONDS_LIMIT = 86_400.0
REQUESTS_LIMIT = 5_000_000
USERS_LIMIT = 1_000_000
NAMED_SHARE = 0.02  # of all requests come from the users that were named

_PATH = re.compile(r"/[!-~]{0,2000}")
_TOKEN = re.compile(r"[A-Za-z0-9._@+-]{1,100}")
_MASK = 2**64 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One load run. Raises InvalidInput for values that make no sense or would break out of a header line."""

    url: str  # http://host:port or https://host:port
    rate: float = 300.0  # requests per second
    seconds: float = 3600.0  # the run ends by itself after this many seconds
    requests: int = REQUESTS_LIMIT  # or after this many requests
    users: int = 2000  # user-1 .. user-N
    named_users: tuple[str, ...] = ()  # further users (staff, say): together 2 % of the requests
    user_header: str = "X-User-Id"
    get: tuple[str, ...] = ()  # paths, in equal shares with `post`; {user} is filled in; repeat one to weigh it
    post: tuple[str, ...] = ()  # each gets {"id": unique, "item": ...} and must answer with that id
    check: str | None = None  # path with {id}: after the run each acknowledged id is read back here
    check_says: str = ""  # and this stands in each body that is read back
    download: str | None = None  # held all the time, begun again when it ends
    download_says: str | None = None  # in the last 200 bytes of a whole download; without it one that ends is whole
    stream: str | None = None  # held all the time, opened again when the server ends it
    websocket: str | None = None  # held all the time; must echo
    websocket_every_s: float = 0.5
    new_connections: float = 0.2  # share of the requests with a connection of their own; the others keep alive
    idempotency_key: bool = False  # POSTs carry their id as Idempotency-Key
    timeout_s: float = 10.0  # from the due moment to the last byte; on downloads: without a byte
    outstanding: int = 1000  # requests at once; one more is not sent and counts as failed
    finish_s: float = 30.0  # when the run ends, a download may take this long to complete; likewise reading back
    ca: str | None = None  # PEM file that certificates are checked against

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        _require(parts.scheme in ("http", "https") and bool(parts.hostname), "url", self.url)
        _require(parts.path in ("", "/") and not parts.query, "url", self.url)
        _require(0 < self.rate <= RATE_LIMIT, "rate", self.rate)
        _require(0 < self.seconds <= SECONDS_LIMIT, "seconds", self.seconds)
        _require(1 <= self.requests <= REQUESTS_LIMIT, "requests", self.requests)
        _require(1 <= self.users <= USERS_LIMIT, "users", self.users)
        _require(0 <= self.new_connections <= 1, "new_connections", self.new_connections)
        _require(0 < self.timeout_s <= 3600, "timeout_s", self.timeout_s)
        _require(0.01 <= self.websocket_every_s < self.timeout_s, "websocket_every_s", self.websocket_every_s)
        _require(1 <= self.outstanding <= 100_000, "outstanding", self.outstanding)
        _require(0 <= self.finish_s <= 3600, "finish_s", self.finish_s)
        for path in (*self.get, *self.post, self.check, self.download, self.stream, self.websocket):
            _require(path is None or _PATH.fullmatch(path) is not None, "path", path)
        for name in (self.user_header, *self.named_users):
            _require(_TOKEN.fullmatch(name) is not None, "user", name)
        _require(self.check is None or "{id}" in self.check, "check", self.check)
        _require(bool(self.get or self.post or self.held), "get, post, download, stream, websocket", "")

    @property
    def held(self) -> bool:
        """Whether anything is held throughout the run."""
        return bool(self.download or self.stream or self.websocket)

    @property
    def tls(self) -> bool:
        """Whether connections are encrypted."""
        return urlsplit(self.url).scheme == "https"

    @property
    def host(self) -> str:
        """The host name or address to connect to."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The TCP port to connect to."""
        return urlsplit(self.url).port or (443 if self.tls else 80)

    @property
    def authority(self) -> str:
        """What stands in the Host header."""
        return urlsplit(self.url).netloc

    @property
    def length(self) -> int:
        """How many requests the run has if nobody stops it."""
        return min(self.requests, max(1, int(self.rate * self.seconds))) if self.get or self.post else 0


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a run."""

    due_s: float  # since the start of the run
    method: str
    route: str  # the path as the profile has it
    path: str
    user: str
    fresh: bool  # on a connection of its own
    id: str | None  # what a POST carries in its body


def request(profile: Profile, index: int, run: str) -> Request:
    """Return the request with this index: the same for the same profile and run, and due at index / rate."""
    choices = len(profile.get) + len(profile.post)
    position = index % choices
    posts = position >= len(profile.get)
    route = profile.post[position - len(profile.get)] if posts else profile.get[position]
    user = _user(profile, index)
    return Request(
        due_s=index / profile.rate,
        method="POST" if posts else "GET",
        route=route,
        path=route.replace("{user}", user),
        user=user,
        fresh=_roll(index, 0) < profile.new_connections,
        id=f"{run}-{index}" if posts else None,
    )


def _user(profile: Profile, index: int) -> str:
    if profile.named_users and _roll(index, 1) < NAMED_SHARE:
        return profile.named_users[int(_roll(index, 2) * len(profile.named_users))]
    return f"user-{1 + int(_roll(index, 2) * profile.users)}"


def _roll(index: int, stream: int) -> float:
    """Return a number in [0, 1) that looks random: splitmix64 (Steele, Lea, Flood 2014) of index and stream."""
    x = (index * 4 + stream + 1) * 0x9E3779B97F4A7C15 & _MASK
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    x = (x ^ x >> 27) * 0x94D049BB133111EB & _MASK
    return (x ^ x >> 31) / 2**64


def _require(holds: bool, name: str, value: object) -> None:  # noqa: FBT001  it is the sentence
    if not holds:
        raise InvalidInput("load-profile", f"{name} cannot be {value!r}", "see python -m hitless.testing.load --help")
