"""Books and trades of tokens with resting paper orders: by market socket, by REST where there is none."""

import asyncio
from collections.abc import Sequence, Set
from types import TracebackType
from typing import Self

from domain.ids import TokenId
from domain.ports import Book, Clock, MarketData, MarketStream, MarketTrade
from venues.paper.resting import Look

WHOLE_BOOK = 10_000  # levels a side: a resting order must find its own price, however deep it lies
REREAD_EVERY = 15
"""Every so many looks all books are read by REST: a socket may be silent without being lost."""


class MarketWatch:
    """The market as paper orders meet it; an asynchronous context.

    Without sockets there are no trades: orders then move up by what their level shows, and fill by depth.

    Args:
        market_data: the venue's public reads.
        clock: stands in for the venue's clock where a book has no time.
        sockets: whether market sockets may be opened; one is, once a token has resting orders.
    """

    def __init__(self, market_data: MarketData, clock: Clock, *, sockets: bool) -> None:
        self._market_data = market_data
        self._clock = clock
        self._context = market_data.stream() if sockets else None
        self._stream: MarketStream | None = None
        self._collecting: asyncio.Task[None] | None = None
        self._watched: set[TokenId] = set()
        self._trades: dict[TokenId, list[MarketTrade]] = {}
        self._told_ms: dict[TokenId, int] = {}
        self._looks = 0

    async def __aenter__(self) -> Self:
        if self._context is not None:
            self._stream = await self._context.__aenter__()
            self._collecting = asyncio.create_task(self._collect(self._stream), name="paper market watch")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._collecting is not None:
            self._collecting.cancel()
            await asyncio.gather(self._collecting, return_exceptions=True)
        if self._context is not None:
            await self._context.__aexit__(kind, error, trace)

    async def look(self, tokens: Set[TokenId]) -> Sequence[Look]:
        """Return what is new of these tokens; from now on exactly they are watched.

        Raises:
            VenueError: a book cannot be read; trades are kept for the next look.
        """
        await self._watch(tokens)
        local = {book.token_id: book for book in map(self._local_book, sorted(tokens)) if book is not None}
        self._looks += 1
        missing = sorted(tokens if self._looks % REREAD_EVERY == 0 else tokens - local.keys())
        for book in await self._market_data.books(missing) if missing else ():
            local[book.token_id] = book
            if self._stream is not None:
                self._stream.replace_book(book)
        return [
            Look(book=book, trades=self._trades.pop(token, ()), at_ms=book_ms(book, self._clock))
            for token, book in local.items()
        ]

    async def _watch(self, tokens: Set[TokenId]) -> None:
        if self._stream is None or self._collecting is None:
            return
        if self._collecting.done():
            self._collecting.result()
        gone, new = self._watched - tokens, tokens - self._watched
        if gone:
            self._watched -= gone
            await self._stream.unsubscribe(gone)
        if new:
            self._watched |= new  # the first trades may be told before the subscription returns
            await self._stream.subscribe(new)
        for token in gone:
            self._trades.pop(token, None)
            self._told_ms.pop(token, None)

    async def _collect(self, stream: MarketStream) -> None:
        async for events in stream.events():
            for event in events:
                token, at_ms = event.token_id, event.venue_timestamp_ms
                if token is None or token not in self._watched:
                    continue
                if at_ms is not None:
                    self._told_ms[token] = max(at_ms, self._told_ms.get(token, 0))
                if event.trades:
                    self._trades.setdefault(token, []).extend(event.trades)

    def _local_book(self, token: TokenId) -> Book | None:
        if self._stream is None:
            return None
        bids, asks = self._stream.ladder(token, WHOLE_BOOK)
        if not bids and not asks:
            return None  # empty, or not to be trusted now
        at_ms = self._told_ms.get(token)
        return Book(token_id=token, bids=bids, asks=asks, last=None, tick=None, venue_timestamp_ms=at_ms)


def book_ms(book: Book, clock: Clock) -> int:
    """Return a book's time in Unix milliseconds: the venue's, or now where it has none."""
    if book.venue_timestamp_ms is not None:
        return book.venue_timestamp_ms
    return int(clock.now().timestamp() * 1000)
