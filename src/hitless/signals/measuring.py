"""Asks for the counters of a watch, window by window, while the watch goes on with what is there."""

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

from hitless.plan.ports import Clock
from hitless.signals.metrics import Counters, Full, Load, Measured, Metric, Shown, Source, Window, full, window
from hitless.signals.steps import Watch

ASK_AGAIN_S = 5.0  # a source that did not answer
TRIES = 3  # then the window is no evidence
CATCH_UP_S = 900.0  # windows that ended longer ago are left out
WAITING_LIMIT = 64  # windows that nobody has taken yet


class Measuring:
    """The windows of one watch, in order for each metric."""

    def __init__(self, step: Watch, sources: Mapping[Source, Counters], clock: Clock) -> None:
        self._step, self._sources, self._clock = step, sources, clock
        self._waiting: dict[str, deque[Window | Full]] = {}
        self._troubles: dict[str, str] = {}  # by metric: what its source said that did not answer

    @property
    def trouble(self) -> str:
        """Say which sources do not answer now, and why; empty: all do."""
        return "; ".join(f"{name}: {said}" for name, said in self._troubles.items())

    def take(self) -> tuple[Window | Full, ...]:
        """Return the next window of each metric that has one."""
        return tuple(waiting.popleft() for waiting in self._waiting.values() if waiting)

    async def measure(self, metric: Measured, since: float) -> None:
        """Ask for one window after the other for ever, from the first one that lies wholly after `since`."""
        waiting = self._waiting[metric.name] = deque(maxlen=WAITING_LIMIT)
        since = max(since, self._clock.now() - CATCH_UP_S)
        until = _first(metric, since)
        while True:
            await self._clock.sleep(max(0.0, until + metric.lag_s - self._clock.now()))
            waiting.append(await self._window(metric, until))
            until += metric.every_s

    async def _window(self, metric: Measured, until: float) -> Window | Full:
        for _ in range(TRIES):
            try:
                seen = await self._look(metric, until)
            except OSError as error:
                self._troubles[metric.name] = str(error) or type(error).__name__
                await self._clock.sleep(ASK_AGAIN_S)
            else:
                self._troubles.pop(metric.name, None)
                return seen
        return Window(metric=metric.name, until=until)

    async def _look(self, metric: Measured, until: float) -> Window | Full:
        source = self._sources.get(metric.source)
        if source is None:
            raise OSError(f"nobody measures {metric.source} here")
        versions = self._step.canary_version, self._step.baseline_version
        match metric:
            case Load():
                return full(metric, until, await source.sample(metric, metric.load, until), versions)
            case Metric():
                moments = until - metric.every_s, until
                before, after = [await _shown(source, metric, at) for at in moments]
                return window(metric, until, (before, after), versions)
            case _:
                raise OSError(f"{metric.name} is no counter and no load")


def _first(metric: Measured, since: float) -> float:
    """Return the end of the first window that lies wholly after `since`; a load is looked at in a moment."""
    if isinstance(metric, Load):
        return (math.floor(since / metric.every_s) + 1) * metric.every_s
    return (math.ceil(since / metric.every_s) + 1) * metric.every_s


async def _shown(source: Counters, metric: Metric, at: float) -> Shown:
    return Shown(await source.sample(metric, metric.requests, at), await source.sample(metric, metric.bad, at))


@asynccontextmanager
async def measuring(
    step: Watch, sources: Mapping[Source, Counters], clock: Clock, since: Mapping[str, float]
) -> AsyncIterator[Measuring]:
    """Measure for as long as the context lasts; `since`: by metric, the end of the last window that counted."""
    measured = Measuring(step, sources, clock)
    tasks = [asyncio.ensure_future(measured.measure(metric, since[metric.name])) for metric in step.measured]
    try:
        yield measured
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
