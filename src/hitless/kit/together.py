"""Doing several things at once without leaving anything behind."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def together(*works: Awaitable[T]) -> list[T]:
    """Do all at once; return, or raise the first error, only when all have ended.

    `asyncio.gather` raises while the others still go on, and they would act behind the back of whoever called.
    """
    results = await asyncio.gather(*works, return_exceptions=True)
    done = []
    for result in results:
        if isinstance(result, BaseException):
            raise result
        done.append(result)
    return done
