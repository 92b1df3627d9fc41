"""Time and timers as ports, so that tests own the clock."""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """What the exchange asks about time."""

    def now_ms(self) -> int:
        """Returns Unix milliseconds."""
        ...

    def monotonic_ns(self) -> int:
        """Returns the host's monotonic clock, comparable between processes of one machine."""
        ...

    def call_later(self, delay_ms: int, action: Callable[[], None]) -> None:
        """Runs ``action`` after the delay, never before the caller has returned."""
        ...


class SystemClock:
    """The real clock; timers run on the event loop and die with it."""

    def now_ms(self) -> int:
        """Returns Unix milliseconds."""
        return time.time_ns() // 1_000_000

    def monotonic_ns(self) -> int:
        """Returns ``time.monotonic_ns``."""
        return time.monotonic_ns()

    def call_later(self, delay_ms: int, action: Callable[[], None]) -> None:
        """Schedules on the running loop."""
        asyncio.get_running_loop().call_later(max(0, delay_ms) / 1000, action)
