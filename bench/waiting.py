"""Waiting for what a program needs next."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

STEP_LIMIT_S = 180.0
"""No figure and no verdict hangs on it: on a machine that others load too, a step may take minutes."""
PAUSE_S = 0.05

T = TypeVar("T")


class BenchFailed(Exception):
    """A step of a program did not come to its end: its run says nothing about the product."""


class NeverCame(BenchFailed):
    """What was waited for did not come in time. Where the product owes it: see `missed`."""


async def until(
    read: Callable[[], Awaitable[T]],
    wanted: Callable[[T], bool],
    what: str,
    *,
    limit_s: float = STEP_LIMIT_S,
    pause_s: float = PAUSE_S,
) -> T:
    """Read until it is as wanted, and return it.

    Raises:
        NeverCame: It never was, within `limit_s` seconds.
    """
    deadline = time.monotonic() + limit_s
    while not wanted(answer := await read()):
        if time.monotonic() > deadline:
            raise NeverCame(f"{what} did not come within {limit_s:.0f} s; last: {answer}")
        await asyncio.sleep(pause_s)
    return answer


async def missed(owed: Awaitable[object]) -> tuple[str, ...]:
    """Return nothing once what the product owes has come, else the words that it never did."""
    try:
        await owed
    except NeverCame as never:
        return (str(never),)
    return ()
