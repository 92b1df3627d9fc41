"""Hints outlive a database that is away: nobody else tells readers that something was written."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from domain.errors import StorageUnavailable
from storage.hints import NotifyHints


class AwayAtFirst:
    """The hot side of a database whose first connections fail; it keeps what is notified."""

    def __init__(self, failures: int) -> None:
        self.hot = self
        self.attempts = 0
        self.notified: asyncio.Queue[str] = asyncio.Queue()
        self._failures = failures

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator["AwayAtFirst"]:
        self.attempts += 1
        if self.attempts <= self._failures:
            raise StorageUnavailable("away")
        yield self

    async def fetchval(self, statement: str, channel: str) -> None:
        assert "pg_notify" in statement
        self.notified.put_nowait(channel)


async def test_hints_of_an_outage_are_sent_once_each_when_it_is_over() -> None:
    database = AwayAtFirst(failures=1)
    hints = NotifyHints(database, gap=0.001)  # type: ignore[arg-type]
    for channel in ("watches", "events", "watches"):
        hints.give(channel)
    async with asyncio.timeout(10):
        assert [await database.notified.get() for _ in range(2)] == ["events", "watches"]
    assert database.attempts == 2
    await hints.close()
    assert database.notified.empty()


async def test_closing_does_not_wait_for_a_database_that_is_away() -> None:
    database = AwayAtFirst(failures=1_000)
    hints = NotifyHints(database)  # type: ignore[arg-type]
    hints.give("watches")
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await hints.close()
    assert database.notified.empty()
