"""Ctrl-C as a wish to end well: taken from the first moment on, also before a loop runs."""

import asyncio
import signal
from collections.abc import Callable
from functools import partial
from types import FrameType, TracebackType
from typing import Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Ending:
    """Takes SIGINT and SIGTERM while it is entered, in the main thread."""

    def __init__(self) -> None:
        self._asked = False
        self._wake: Callable[[], object] | None = None

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._take) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    async def asked(self) -> None:
        """Return once the end was asked for, be it before this call."""
        event = asyncio.Event()
        self._wake = partial(asyncio.get_running_loop().call_soon_threadsafe, event.set)
        try:
            if not self._asked:
                await event.wait()
        finally:
            self._wake = None

    def _take(self, _number: int, _frame: FrameType | None) -> None:
        self._asked = True
        if self._wake is not None:
            self._wake()
