"""Doing many things, some of them at a time."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import TypeVar

T = TypeVar("T")


async def side_by_side(jobs: Iterable[Coroutine[object, object, T]], at_once: int) -> list[T]:
    """Await all of them, at most so many at a time; return what they return, in their order.

    The first failure cancels the others and is raised.
    """
    places = asyncio.Semaphore(at_once)

    async def one(job: Coroutine[object, object, T]) -> T:
        async with places:
            return await job

    waiting = list(jobs)
    tasks = [asyncio.ensure_future(one(job)) for job in waiting]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for job in waiting:
            job.close()  # those whose turn had not come
        raise
