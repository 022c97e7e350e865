"""Blocking work beside the event loop, which never outlives whoever asked for it."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[[], T]) -> T:
    """Run blocking work in a thread. Cancelled, it waits for the work to end before it says so.

    A thread cannot be stopped; one that went on alone would touch the world after its step was given up. So the work
    must have a bound on time of its own.
    """
    return await finish(asyncio.ensure_future(asyncio.to_thread(work)))


async def finish(work: asyncio.Future[T]) -> T:
    """Wait for work that cannot be called back. Cancelled, it waits for the work to end before it says so."""
    await outlast(work)
    return work.result()


async def outlast(work: asyncio.Future[Any]) -> None:
    """Wait until work is over, whatever comes of it; who is cancelled meanwhile hears of it only then."""
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait({work})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        if not work.cancelled():
            work.exception()  # whatever it was, nobody waits for it any more
        raise cancelled
