"""Doing many things, some of them at a time."""

import asyncio
from collections.abc import Awaitable, Iterable
from typing import TypeVar

T = TypeVar("T")


async def side_by_side(jobs: Iterable[Awaitable[T]], at_once: int) -> list[T]:
    """Await all of them, at most so many at a time; return what they return, in their order.

    The first failure cancels the others and is raised.
    """
    places = asyncio.Semaphore(at_once)

    async def one(job: Awaitable[T]) -> T:
        async with places:
            return await job

    tasks = [asyncio.ensure_future(one(job)) for job in jobs]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
