"""Waiting for what a test expects, without guessing how long it takes."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

LIMIT_S = 40.0
PAUSE_S = 0.03

_T = TypeVar("_T")


async def until(
    read: Callable[[], Awaitable[_T]], wanted: Callable[[_T], bool], what: str, *, limit_s: float = LIMIT_S
) -> _T:
    """Reads until it is as wanted and returns it; fails the test with the last answer when it never is."""
    deadline = time.monotonic() + limit_s
    while not wanted(answer := await read()):
        assert time.monotonic() < deadline, f"{what} did not come within {limit_s:g} s; last: {answer}"
        await asyncio.sleep(PAUSE_S)
    return answer
