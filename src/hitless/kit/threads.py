"""Blocking work beside the event loop, which never outlives whoever asked for it."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[[], T]) -> T:
    """Run blocking work in a thread. Cancelled, it waits for the work to end before it says so.

    A thread cannot be stopped; one that went on alone would touch the world after its step was given up. So the work
    must have a bound on time of its own.
    """
    future = asyncio.ensure_future(asyncio.to_thread(work))
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait({future})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        future.exception()  # whatever it was, nobody waits for it any more
        raise cancelled
    return future.result()
