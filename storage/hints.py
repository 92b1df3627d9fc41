"""Hints: empty NOTIFYs that something is worth reading again, at most one per channel and gap."""

import asyncio

import structlog

from domain.errors import StorageUnavailable
from storage.database import Database

log = structlog.stdlib.get_logger(__name__)


class NotifyHints:
    """Sends hints by NOTIFY, outside the transactions they speak of.

    A NOTIFY inside a transaction makes commits wait for one another; and a hint that is lost costs nothing
    but time, since readers also read by themselves.

    Args:
        database: Where to send them.
        gap: Seconds between two hints on one channel.
    """

    def __init__(self, database: Database, *, gap: float = 0.05) -> None:
        self._database = database
        self._gap = gap
        self._pending: set[str] = set()
        self._sending: asyncio.Task[None] | None = None

    def give(self, channel: str) -> None:
        """Send a hint at once, or with the next batch when one was sent just now."""
        self._pending.add(channel)
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send_all())

    async def _send_all(self) -> None:
        while self._pending:
            channels = sorted(self._pending)
            self._pending.clear()
            try:
                async with self._database.hot.connection() as connection:
                    for channel in channels:
                        await connection.fetchval("SELECT pg_notify($1, '')", channel)
            except StorageUnavailable:
                log.info("hints.lost", channels=channels)
            await asyncio.sleep(self._gap)

    async def close(self) -> None:
        """End the sending; what is pending is not sent."""
        self._pending.clear()
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)
