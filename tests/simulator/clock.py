"""A clock that stands still until a test moves it."""

import asyncio
import heapq
from collections.abc import Callable
from itertools import count


class ManualClock:
    def __init__(self, now_ms: int = 1_795_246_965_000) -> None:
        self._now_ms = now_ms
        self._timers: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()
        self._set = asyncio.Event()

    def now_ms(self) -> int:
        return self._now_ms

    def monotonic_ns(self) -> int:
        return self._now_ms * 1_000_000

    def call_later(self, delay_ms: int, action: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (self._now_ms + max(0, delay_ms), next(self._order), action))
        self._set.set()

    def advance(self, by_ms: int) -> None:
        """Moves time on and runs the timers that fall due, in order."""
        end = self._now_ms + by_ms
        while self._timers and self._timers[0][0] <= end:
            due, _, action = heapq.heappop(self._timers)
            self._now_ms = max(self._now_ms, due)
            action()
        self._now_ms = end

    async def until_timer(self) -> None:
        """Waits until the next timer is set."""
        self._set.clear()
        await self._set.wait()
