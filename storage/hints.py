"""Hints: empty NOTIFYs that something is worth reading again, at most one per channel and gap."""

import asyncio
from collections.abc import Callable

import asyncpg
import structlog

from domain.errors import StorageUnavailable
from storage.database import Database
from storage.failures import storage_unavailable

log = structlog.stdlib.get_logger(__name__)

RETRY_S = 0.5


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
                # What was written may stand all the same, and nobody else tells of it.
                log.info("hints.wait", channels=channels)
                self._pending.update(channels)
                await asyncio.sleep(RETRY_S)
            await asyncio.sleep(self._gap)

    async def close(self) -> None:
        """End the sending; what is pending is not sent."""
        self._pending.clear()
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)


async def listen(
    database: Database, channel: str, on_hint: Callable[[], None], *, retry: float = 0.5
) -> None:
    """Call `on_hint` for every hint on a channel, on a connection of its own, for ever.

    It is also called after each connect: what was missed meanwhile has to be read. A lost connection is made
    anew until this is cancelled.

    Args:
        database: Where to listen.
        channel: The channel's name.
        on_hint: Called in the event loop; must not block.
        retry: Seconds between attempts to connect.
    """
    while True:
        try:
            await _listen_once(await database.dedicated(), channel, on_hint)
        except StorageUnavailable:
            log.info("hints.away", channel=channel)
        await asyncio.sleep(retry)


async def _listen_once(connection: asyncpg.Connection, channel: str, on_hint: Callable[[], None]) -> None:
    lost = asyncio.Event()
    connection.add_termination_listener(lambda _: lost.set())

    def hinted(_connection: asyncpg.Connection, _pid: int, _channel: str, _payload: object) -> None:
        on_hint()

    try:
        await connection.add_listener(channel, hinted)
        on_hint()
        await lost.wait()
    except Exception as error:
        failure = storage_unavailable(error)
        if failure is None:
            raise
        raise failure from error
    finally:
        connection.terminate()
