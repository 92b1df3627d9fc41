"""Following the watches: what is armed, changed and disarmed while a feed runs."""

import asyncio

import structlog

from activities.feed_board import QuoteBoard
from activities.feed_books import BookReader
from activities.feed_intake import QuoteIntake
from domain.errors import StorageUnavailable
from domain.ids import TokenId
from domain.messages import FeedShard
from domain.ports import MarketStream
from storage.repositories.watches import Watches

log = structlog.get_logger()

RETRY_S = 0.25


class WatchFollower:
    """Keeps board and subscriptions as the watches table says."""

    def __init__(
        self,
        shard: FeedShard,
        board: QuoteBoard,
        intake: QuoteIntake,
        books: BookReader,
        *,
        watches: Watches,
        stream: MarketStream | None,
    ) -> None:
        """Take the board; without a stream tokens are only polled."""
        self._shard = shard
        self._board = board
        self._intake = intake
        self._books = books
        self._watches = watches
        self._stream = stream
        self._hint = asyncio.Event()

    async def listen(self) -> None:
        """Take hints that watches may have changed, for ever."""
        await self._watches.listen(self._hint.set)

    async def follow(self, edge: int, reread_s: float) -> None:
        """Read what changed on each hint and once in a while, for ever: hints may be lost.

        Args:
            edge: the visible edge from which to read on.
            reread_s: longest time without reading.
        """
        loop = asyncio.get_running_loop()
        reread_at = loop.time() + reread_s
        async with asyncio.TaskGroup() as reads:
            while True:
                try:
                    async with asyncio.timeout_at(reread_at):
                        await self._hint.wait()
                except TimeoutError:
                    reread_at = loop.time() + reread_s
                self._hint.clear()
                edge = await self._read_changes(edge, reads)

    async def _read_changes(self, edge: int, reads: asyncio.TaskGroup) -> int:
        try:
            rows, next_edge = await self._watches.changed_since(
                edge, self._shard.venue, self._shard.shard, self._shard.shards
            )
        except StorageUnavailable as error:
            log.warning("feed.watches_unreadable", error=str(error))
            await asyncio.sleep(RETRY_S)
            self._hint.set()
            return edge
        before = set(self._board.tokens())
        for row in rows:
            self._intake.change(row)
        await self._resubscribe(before, reads)
        return next_edge

    async def _resubscribe(self, before: set[TokenId], reads: asyncio.TaskGroup) -> None:
        tokens = self._board.tokens()
        added = [token for token in tokens if token not in before]
        gone = list(before.difference(tokens))
        self._board.forget(gone)
        if gone and self._stream is not None:
            await self._stream.unsubscribe(gone)
        if added and self._stream is not None:
            await self._stream.subscribe(added)
        if added:
            # Beside the watches: their frames tell the books, too, and others must not wait for the answer.
            reads.create_task(self._books.read(added))
