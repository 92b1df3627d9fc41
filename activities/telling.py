"""Telling many workflows one thing each: a few at once, and a failure stops none of the others."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


async def tell_all(them: Sequence[T], tell: Callable[[T], Awaitable[bool]], *, at_once: int) -> int:
    """Tell each, in this order, and return how many took it.

    Raises:
        ExceptionGroup: some could not be told; all others were.
    """
    places = asyncio.Semaphore(at_once)

    async def one(it: T) -> bool:
        async with places:
            return await tell(it)

    answers = await asyncio.gather(*(one(it) for it in them), return_exceptions=True)
    failures = [answer for answer in answers if isinstance(answer, Exception)]
    if failures:
        raise ExceptionGroup("some could not be told", failures)
    return sum(answer is True for answer in answers)
