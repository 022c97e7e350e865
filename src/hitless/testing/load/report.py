"""What was counted: kept while a run goes on, read as a report. Pure."""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

EXAMPLES_LIMIT = 20  # failures that are kept with time and path
SLICES_LIMIT = 200  # pairs of path and version that are counted apart; what comes later shares one
PERCENTILES = {"p50": 0.50, "p90": 0.90, "p99": 0.99, "p999": 0.999}
_GROWTH = math.log(1.01)  # two latencies within 1 % share a cell
_SMALLEST_MS = 0.01


class Latencies:
    """A histogram of bounded size: exact to 1 %, the greatest value exactly."""

    def __init__(self) -> None:
        self._cells: Counter[int] = Counter()
        self._count = 0
        self.max_ms = 0.0

    def add(self, latency_ms: float) -> None:
        """Count one latency in milliseconds."""
        self._cells[int(math.log(max(latency_ms, _SMALLEST_MS) / _SMALLEST_MS) / _GROWTH)] += 1
        self._count += 1
        self.max_ms = max(self.max_ms, latency_ms)

    def at(self, fraction: float) -> float:
        """Return the latency in milliseconds that this fraction of the requests did not exceed (nearest rank)."""
        rank, seen = math.ceil(fraction * self._count), 0
        for cell in sorted(self._cells):
            seen += self._cells[cell]
            if seen >= rank:
                return min(self.max_ms, _SMALLEST_MS * math.exp((cell + 0.5) * _GROWTH))
        return 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One failed request."""

    at: float  # seconds since the epoch
    method: str  # GET, POST, DOWNLOAD, STREAM or WEBSOCKET
    path: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """The requests of one path that one version answered."""

    path: str  # as the profile has it
    version: str | None  # X-Version, or X-Failed-In of a failure passed on; None: no answer, or one that does not say
    total: int
    failed: int
    latency_ms: dict[str, float]

    def to_text(self) -> str:
        """Return one line for a person."""
        name = f"{self.path} {self.version or 'without version'}"
        return f"path       {name}: {self.total}, failed {self.failed}, p99 {self.latency_ms['p99']:.1f} ms"


@dataclass(slots=True)
class Download:
    """The downloads that were held."""

    completed: int = 0
    closed: int = 0  # ended properly by the server before all was sent: a staged close, not a failure
    failed: int = 0
    given_up: int = 0  # by ourselves, when the run was over
    bytes: int = 0


@dataclass(slots=True)
class Stream:
    """The stream (server-sent events, say) that was held."""

    opened: int = 0
    closed: int = 0  # ended properly by the server: not a failure
    failed: int = 0
    bytes: int = 0


@dataclass(slots=True)
class Websocket:
    """The websocket that was held."""

    connected: int = 0
    closed: int = 0  # by the server with 1001 or 1012: going away, not a failure
    failed: int = 0
    sent: int = 0
    echoed: int = 0
    unanswered: int = 0  # messages under way when the server closed


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The counts at one moment. `total` counts requests that have ended; `failed` includes what was held."""

    total: int
    failed: int
    outstanding: int
    elapsed_s: float  # until the last answer was in; a download may take longer
    reasons: dict[str, int]
    examples: tuple[Failure, ...]
    statuses: dict[int, int]
    versions: dict[str, dict[str, int]]  # path of the profile -> X-Version of the answers
    slices: tuple[Slice, ...]  # the same requests by path and version, with failures and latency
    latency_ms: dict[str, float]  # of the answers, from the due moment
    lag_ms: float  # how late the client itself sent at worst
    posts_sent: int
    acknowledged: tuple[str, ...]  # ids of the POSTs whose answer came: their rows must be there
    uncertain: tuple[str, ...]  # ids of the POSTs that failed: their rows may be there
    missing: tuple[str, ...] | None  # acknowledged ids that could not be read back afterwards; None: not checked
    download: Download | None
    stream: Stream | None
    websocket: Websocket | None

    @property
    def rate(self) -> float:
        """Requests that have ended per second."""
        return self.total / self.elapsed_s if self.elapsed_s else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return plain data, as --json prints it."""
        plain = asdict(self)
        posts = {"sent": plain.pop("posts_sent")}
        posts |= {name: plain.pop(name) for name in ("acknowledged", "uncertain", "missing")}
        return plain | {
            "rate": round(self.rate, 1),
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "posts": posts,
        }

    def to_text(self) -> str:
        """Return a few lines for a person."""
        lines = [
            f"requests   {self.total} in {self.elapsed_s:.1f} s ({self.rate:.0f}/s), failed {self.failed}",
            f"answers    {_pairs({str(k): v for k, v in sorted(self.statuses.items())})}",
            f"latency    {_pairs({k: f'{v:.1f} ms' for k, v in self.latency_ms.items()})}",
            f"posts      {len(self.acknowledged)} of {self.posts_sent} acknowledged",
        ]
        if self.missing is not None:
            lines.append(f"read back  {len(self.acknowledged) - len(self.missing)}, missing {len(self.missing)}")
        lines += [part.to_text() for part in self.slices]
        if self.download is not None:
            lines.append(f"download   {_pairs(asdict(self.download))}")
        if self.stream is not None:
            lines.append(f"stream     {_pairs(asdict(self.stream))}")
        if self.websocket is not None:
            lines.append(f"websocket  {_pairs(asdict(self.websocket))}")
        lines += [f"failed     {reason}: {count}" for reason, count in sorted(self.reasons.items())]
        lines += [f"  {_clock(e.at)} {e.method} {e.path} {e.reason}" for e in self.examples]
        return "\n".join(lines)


class _Slice:
    __slots__ = ("failed", "latencies", "total")

    def __init__(self) -> None:
        self.total = 0
        self.failed = 0
        self.latencies = Latencies()


@dataclass(slots=True, kw_only=True)
class Tally:
    """Counts while a run goes on. One thread counts; any may read, and then sees the last few counts in part."""

    started_at: float  # seconds since the epoch
    clock: Callable[[], float]  # seconds since the start of the run
    ended_s: float | None = None  # when the last answer was in
    total: int = 0
    failed: int = 0
    outstanding: int = 0
    lag_ms: float = 0.0
    posts_sent: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    examples: list[Failure] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    latencies: Latencies = field(default_factory=Latencies)
    acknowledged: list[str] = field(default_factory=list)
    uncertain: list[str] = field(default_factory=list)
    missing: list[str] | None = None
    download: Download | None = None
    stream: Stream | None = None
    websocket: Websocket | None = None
    _slices: dict[tuple[str, str | None], _Slice] = field(default_factory=dict)

    def fail(self, method: str, path: str, reason: str) -> None:
        """Count one failure, at the present moment of the run."""
        self.failed += 1
        self.reasons[reason] += 1
        if len(self.examples) < EXAMPLES_LIMIT:
            at = self.started_at + self.clock()
            self.examples.append(Failure(at=at, method=method, path=path, reason=reason))

    def answered(self, status: int, latency_ms: float) -> None:
        """Count one complete answer, failed or not."""
        self.statuses[status] += 1
        self.latencies.add(latency_ms)

    def ended(self, route: str, version: str | None, latency_ms: float, *, failed: bool) -> None:
        """Count one request that has ended, with or without an answer."""
        self.total += 1
        key = (route, version)
        if key not in self._slices and len(self._slices) >= SLICES_LIMIT:
            key = ("others", None)
        part = self._slices.setdefault(key, _Slice())
        part.total += 1
        part.failed += failed
        part.latencies.add(latency_ms)

    def report(self) -> Report:
        """Return the counts as they are now; later counting does not change it."""
        return Report(
            total=self.total,
            failed=self.failed,
            outstanding=self.outstanding,
            elapsed_s=round(self.clock() if self.ended_s is None else self.ended_s, 3),
            reasons=dict(self.reasons),
            examples=tuple(self.examples),
            statuses=dict(self.statuses),
            versions=self._versions(),
            slices=tuple(self._read(key) for key in sorted(self._slices, key=str)),
            latency_ms=_percentiles(self.latencies),
            lag_ms=round(self.lag_ms, 2),
            posts_sent=self.posts_sent,
            acknowledged=tuple(self.acknowledged),
            uncertain=tuple(self.uncertain),
            missing=None if self.missing is None else tuple(self.missing),
            download=None if self.download is None else replace(self.download),
            stream=None if self.stream is None else replace(self.stream),
            websocket=None if self.websocket is None else replace(self.websocket),
        )

    def _versions(self) -> dict[str, dict[str, int]]:
        versions: dict[str, dict[str, int]] = {}
        for (route, version), part in list(self._slices.items()):
            if version is not None:
                versions.setdefault(route, {})[version] = part.total
        return versions

    def _read(self, key: tuple[str, str | None]) -> Slice:
        part = self._slices[key]
        latency_ms = _percentiles(part.latencies)
        return Slice(path=key[0], version=key[1], total=part.total, failed=part.failed, latency_ms=latency_ms)


def _percentiles(latencies: Latencies) -> dict[str, float]:
    values = {name: round(latencies.at(fraction), 2) for name, fraction in PERCENTILES.items()}
    return values | {"max": round(latencies.max_ms, 2)}


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items()) or "none"


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S.%f")[:-3] + "Z"
