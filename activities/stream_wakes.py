"""Waking the streams of accounts: one signal for orders that follow each other within a moment."""

import structlog

from domain.ids import AccountId
from domain.orders import Mode
from domain.ports import Clock, Signals

log = structlog.get_logger()

AWAKE_MS = 1_000
"""A stream that was woken so short a time ago is taken to be awake.

It ends only when its sweep finds nothing unsettled and nothing held, and a claim stands before its order asks
for a wake. Should a stream end in between all the same, the order's own timer looks the order up.
"""


class StreamWakes:
    """Makes sure that somebody listens for fills. Each wake costs the stream a signal and a workflow task."""

    def __init__(self, signals: Signals, clock: Clock) -> None:
        """Take the way to streams, and the clock."""
        self._signals = signals
        self._clock = clock
        self._woken_ms: dict[tuple[AccountId, str, Mode], int] = {}

    async def wake(self, account_id: AccountId, venue: str, mode: Mode) -> None:
        """Wake a stream. While Temporal is away the order's own timer has to do; the next wake goes out."""
        place, now_ms = (account_id, venue, mode), self._clock.monotonic_ms()
        before_ms = self._woken_ms.get(place)
        if before_ms is not None and now_ms - before_ms < AWAKE_MS:
            return
        try:
            await self._signals.wake_stream(account_id, venue, mode)
        except ConnectionError as error:
            log.warning("stream.not_woken", account_id=account_id, error=str(error))
            return
        self._woken_ms[place] = now_ms
