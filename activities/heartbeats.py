"""Heartbeats beside an activity's work, so that a lost worker is noticed though the work itself is slow."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from typing import TypeVar

from temporalio import activity

# One that is lost on its way, and one that comes late, are no lost worker.
BEATS_PER_TIMEOUT = 3

T = TypeVar("T")


@asynccontextmanager
async def beating() -> AsyncGenerator[None]:
    """Beat while the block runs, in the rhythm that the activity's heartbeat time-out asks for; else never.

    Also a decorator of activities. The first beat comes after a while, too: what is quick needs none, and
    each is a request.

    The beats say that the process and its loop live, not that the work gets on: for that there is
    start-to-close.
    """
    limit = activity.info().heartbeat_timeout if activity.in_activity() else None
    if limit is None:
        yield
        return
    beats = asyncio.create_task(_beat(limit.total_seconds() / BEATS_PER_TIMEOUT))
    try:
        yield
    finally:
        beats.cancel()
        await asyncio.gather(beats, return_exceptions=True)


async def _beat(every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        activity.heartbeat()


async def to_its_end(work: Awaitable[T]) -> T:
    """Do work that has limits of its own and must not be cut off: a cancel meanwhile is passed over.

    An activity that beats hears of the cancel of its workflow, and of its own time-out. A send that is cut
    off has an answer that nobody writes down.
    """
    doing = asyncio.ensure_future(work)
    while not doing.done():
        try:
            await asyncio.shield(doing)
        except asyncio.CancelledError:
            if doing.cancelled():
                raise
    return doing.result()
