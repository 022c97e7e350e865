"""Several things at once, none of which goes on after the others were given up."""

import asyncio

import pytest

from hitless.kit.together import together


async def test_the_results_come_in_order() -> None:
    async def give(number: int) -> int:
        await asyncio.sleep(0)
        return number

    assert await together(give(1), give(2)) == [1, 2]


async def test_an_error_is_raised_only_when_the_others_have_ended() -> None:
    ended = []

    async def fail() -> None:
        raise ZeroDivisionError

    async def last() -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        ended.append("last")

    with pytest.raises(ZeroDivisionError):
        await together(fail(), last())
    assert ended == ["last"]


async def test_cancelling_it_cancels_all_and_waits_for_them() -> None:
    ended = []

    async def work(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(name)

    task = asyncio.ensure_future(together(work("a"), work("b")))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["a", "b"]
