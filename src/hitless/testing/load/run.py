"""The engine: sends each request when it is due, whatever the answers do, and counts what comes back."""

import asyncio
import secrets
import ssl
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from hitless.kit.errors import HitlessError
from hitless.testing.load.connection import Lost, Pool
from hitless.testing.load.held import Held
from hitless.testing.load.http1 import Answer, encode, encode_get, wrong
from hitless.testing.load.profile import Profile, Request, request
from hitless.testing.load.report import Report, Tally

READERS = 16  # connections at once that read acknowledged ids back
START_S = 10.0
MARGIN_S = 30.0


class Load:
    """One load run, good for once: `await run()` in the caller's loop, or start() and stop() in a thread of its own."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._run = secrets.token_hex(4)  # first part of every id
        self._start_s = time.monotonic()
        self._tally = Tally(started_at=time.time(), clock=lambda: time.monotonic() - self._start_s)
        self._tls = _context(profile)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pacer: asyncio.Task[None] | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._stopped = threading.Event()
        self._over = threading.Event()
        self._begun = threading.Event()
        self._problem: BaseException | None = None
        self._thread: threading.Thread | None = None

    async def run(self) -> Report:
        """Send all requests of the profile, or until stop_soon(); return when the last answer is in."""
        self._loop = asyncio.get_running_loop()
        self._start_s, self._tally.started_at = time.monotonic(), time.time()
        pool = Pool(self.profile, self._tls)
        held = Held(self.profile, self._tls, self._tally)
        held.begin()
        self._pacer = asyncio.create_task(self._pace(self._loop.time(), pool))
        self._begun.set()
        if self._stopped.is_set():
            self._pacer.cancel()
        try:
            await asyncio.wait([self._pacer])
            if not self._pacer.cancelled():
                self._pacer.result()
            await asyncio.gather(held.end(), self._last_answers())
            await self._read_back(pool)
        finally:
            held.leave()
            for task in (self._pacer, *self._running):
                task.cancel()
            await pool.close()
            self._over.set()
        return self._tally.report()

    def start(self) -> Self:
        """Run in a thread of its own; returns when the first requests are on their way."""
        self._thread = threading.Thread(target=self._run_in_thread, name="load", daemon=True)
        self._thread.start()
        self._begun.wait(START_S)
        return self

    def stop_soon(self) -> None:
        """Send nothing more; the run ends when the last answer is in. Any thread may call it, at any time."""
        self._stopped.set()
        if self._loop is not None and self._pacer is not None and not self._over.is_set():
            self._loop.call_soon_threadsafe(self._pacer.cancel)

    def stop(self) -> Report:
        """End a run that was start()ed; return its report when the last answer is in and the rows are read back."""
        self.stop_soon()
        return self._join(0)

    def wait(self) -> Report:
        """Return the report of a run that was start()ed once it has ended by itself."""
        return self._join(self.profile.seconds)

    def _join(self, seconds: float) -> Report:
        assert self._thread is not None, "start() comes first"
        bound_s = seconds + self.profile.timeout_s + 2 * self.profile.finish_s + MARGIN_S
        self._thread.join(bound_s)
        if self._thread.is_alive():
            raise HitlessError("load-late", f"the load run was not over {bound_s:g} s later", "is the machine starved?")
        if self._problem is not None:
            raise self._problem
        return self._tally.report()

    def report(self) -> Report:
        """Return the counts as they are at this moment; any thread may ask, at any time."""
        return self._tally.report()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run_in_thread(self) -> None:
        try:
            asyncio.run(self.run())
        except BaseException as problem:  # noqa: BLE001  the caller of stop() gets it
            self._problem = problem
        finally:
            self._over.set()
            self._begun.set()

    async def _pace(self, start_s: float, pool: Pool) -> None:
        loop = asyncio.get_running_loop()
        for due in self._arrivals():
            delay_s = start_s + due.due_s - loop.time()
            if delay_s > 0:
                await asyncio.sleep(delay_s)
            self._tally.lag_ms = max(self._tally.lag_ms, (loop.time() - start_s - due.due_s) * 1000)
            if len(self._running) >= self.profile.outstanding:
                self._end(due, "not-sent", None, 0.0)
                continue
            task = asyncio.create_task(self._send(due, start_s + due.due_s, pool))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        if not self.profile.length:  # only things held
            await asyncio.sleep(self.profile.seconds)

    async def _last_answers(self) -> None:
        await asyncio.gather(*self._running)
        self._tally.ended_s = self._tally.clock()

    def _arrivals(self) -> Iterator[Request]:
        return (request(self.profile, index, self._run) for index in range(self.profile.length))

    async def _send(self, due: Request, due_s: float, pool: Pool) -> None:
        loop = asyncio.get_running_loop()
        answer = Answer()
        self._tally.outstanding += 1
        self._tally.posts_sent += due.id is not None
        reason: str | None = None
        try:
            async with asyncio.timeout_at(due_s + self.profile.timeout_s):
                await _exchange(pool, encode(self.profile, due), answer, fresh=due.fresh)
            reason = wrong(due, answer)
            self._tally.answered(answer.status, (loop.time() - due_s) * 1000)
        except TimeoutError:
            reason = "timeout"
        except Lost as lost:
            reason = str(lost)
        finally:
            self._tally.outstanding -= 1
        version = answer.headers.get("x-failed-in") or answer.headers.get("x-version")
        self._end(due, reason, version, (loop.time() - due_s) * 1000)

    def _end(self, due: Request, reason: str | None, version: str | None, latency_ms: float) -> None:
        if reason is not None:
            self._tally.fail(due.method, due.route, reason)
        if due.id is not None and reason != "not-sent":
            (self._tally.acknowledged if reason is None else self._tally.uncertain).append(due.id)
        self._tally.ended(due.route, version, latency_ms, failed=reason is not None)

    async def _read_back(self, pool: Pool) -> None:
        if self.profile.check is None:
            return
        ids = iter(self._tally.acknowledged)
        found: set[str] = set()
        readers = [asyncio.create_task(self._reader(pool, self.profile.check, ids, found)) for _ in range(READERS)]
        _, late = await asyncio.wait(readers, timeout=self.profile.finish_s)
        for reader in late:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        self._tally.missing = [id_ for id_ in self._tally.acknowledged if id_ not in found]

    async def _reader(self, pool: Pool, path: str, ids: Iterator[str], found: set[str]) -> None:
        for id_ in ids:
            answer = Answer()
            data = encode_get(self.profile, path.replace("{id}", id_), "user-1")
            try:
                async with asyncio.timeout(self.profile.timeout_s):
                    await _exchange(pool, data, answer, fresh=False)
            except (Lost, TimeoutError):
                continue
            if answer.status == 200 and all(text.encode() in answer.body for text in (id_, self.profile.check_says)):
                found.add(id_)


async def _exchange(pool: Pool, data: bytes, answer: Answer, *, fresh: bool) -> None:
    connection = await pool.take(fresh=fresh)
    try:
        await connection.exchange(data, answer)
    except BaseException:
        connection.close()
        raise
    if answer.keeps_alive and not fresh:
        pool.give_back(connection)
    else:
        connection.close()


def _context(profile: Profile) -> ssl.SSLContext | None:
    if not profile.tls:
        return None
    try:
        return ssl.create_default_context(cafile=profile.ca)
    except (OSError, ssl.SSLError) as problem:
        raise HitlessError("load-ca", f"{profile.ca}: {problem}", "give a PEM file with --ca") from None
