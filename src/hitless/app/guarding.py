"""What the guards of a change file ask of one of its services. Pure."""

from collections.abc import Iterator
from typing import Any

from hitless.plan.guards import Guards, Measured
from hitless.signals.metrics import Load, Metric
from hitless.signals.outcomes import Conversion


def metrics_of(guards: Guards, service: str) -> Iterator[Metric]:
    """Yield the counters that are compared for a service."""
    for name, guard in guards.metrics.items():
        if guard.service in (None, service):
            yield Metric(name=name, requests=guard.requests, bad=guard.bad, worse=guard.worse, **_asked(guard))


def loads_of(guards: Guards, service: str) -> Iterator[Load]:
    """Yield what may not be full."""
    guard = guards.saturation
    if guard is not None and guard.service in (None, service):
        yield Load(
            name="saturation", load=guard.load, limit=guard.limit, for_s=max(1, round(guard.long)), **_asked(guard)
        )


def conversion_of(guards: Guards, service: str) -> Conversion | None:
    """Return what the users of a service are expected to do."""
    guard = guards.business
    if guard is None or guard.service not in (None, service):
        return None
    return Conversion(at=guard.at, method=guard.method, within_s=guard.within, margin=guard.margin)


def _asked(guard: Measured) -> dict[str, Any]:
    return {
        "source": guard.source,
        "by": guard.by,
        "lag_s": guard.lag,
        "every_s": guard.every,
        "url": guard.url or "",
    }
