"""Books by REST: fresh ones at the start and after a gap, polled ones, and those that check silence."""

import asyncio
from collections.abc import Sequence

import structlog

from activities.feed_board import QuoteBoard
from activities.feed_intake import QuoteIntake
from domain.errors import VenueError
from domain.ids import TokenId
from domain.ports import Clock, MarketData, MarketStream

log = structlog.get_logger()

BOOKS_AT_ONCE = 50


class BookReader:
    """Reads books of watched tokens and puts them through the intake."""

    def __init__(
        self,
        board: QuoteBoard,
        intake: QuoteIntake,
        *,
        data: MarketData,
        stream: MarketStream,
        clock: Clock,
    ) -> None:
        """Take the board whose tokens are read."""
        self._board = board
        self._intake = intake
        self._data = data
        self._stream = stream
        self._clock = clock

    async def read(self, tokens: Sequence[TokenId]) -> list[TokenId]:
        """Take fresh books; what cannot be read now is read again by the silence check or the next poll.

        Returns:
            The tokens whose book was news: no frame had told of it.
        """
        news: list[TokenId] = []
        for start in range(0, len(tokens), BOOKS_AT_ONCE):
            asked_ms = self._clock.monotonic_ms()
            try:
                books = await self._data.books(tokens[start : start + BOOKS_AT_ONCE])
            except VenueError as error:
                log.warning("feed.books_unreadable", code=error.code)
                continue
            news += [book.token_id for book in books if self._intake.take_book(book, asked_ms)]
        return news

    async def poll(self, every_s: float) -> None:
        """Read all books for ever: the only source when the websocket is switched off."""
        while True:
            await asyncio.sleep(every_s)
            await self.read(self._board.tokens())

    async def watch_silence(self, silence_s: float) -> None:
        """Compare silent tokens with REST books, for ever: quiet is no failure, a difference is."""
        while True:
            await asyncio.sleep(silence_s / 2)
            before = self._clock.monotonic_ms() - int(silence_s * 1000)
            silent = [token for token in self._board.tokens() if self._is_silent(token, before)]
            if silent:
                await self._compare(silent)

    def _is_silent(self, token: TokenId, since_ms: int) -> bool:
        seen = self._board.seen(token)
        return seen is None or seen.confirmed_ms < since_ms

    async def _compare(self, silent: Sequence[TokenId]) -> None:
        missed = await self.read(silent)
        if missed:
            log.warning("feed.silence", tokens=len(missed))
            await self._stream.resubscribe(missed)
