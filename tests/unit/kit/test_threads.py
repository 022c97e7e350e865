"""Work in a thread never outlives whoever asked for it."""

import asyncio
import threading

import pytest

from hitless.kit.threads import in_thread


async def test_the_answer_of_the_work_is_returned() -> None:
    assert await in_thread(lambda: 7) == 7


async def test_what_the_work_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 // 0)


async def test_whoever_is_cancelled_goes_only_when_the_work_is_over() -> None:
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        may_end.wait(10)
        ended.set()

    task = asyncio.create_task(in_thread(work))
    await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=0.05)
    assert not done, "it left a thread behind that still acts"
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
