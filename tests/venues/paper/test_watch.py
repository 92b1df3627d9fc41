"""How books and trades of tokens with resting orders come: by socket, by REST where there is none."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from decimal import Decimal

import pytest

from domain.errors import VenueTransient
from domain.ids import TokenId
from domain.orders import Side
from domain.ports import Book, MarketEvent, MarketEventKind, MarketStream, MarketTrade
from domain.quotes import Level
from tests.venues.builders import TOKEN
from tests.venues.paper.desk import HandMadeMarket, StandingClock, book
from venues.paper.watch import REREAD_EVERY, MarketWatch, book_ms

TRADE = MarketTrade(price=Decimal("0.5"), shares=Decimal(5), taker=Side.BUY, venue_timestamp_ms=40)
LEVELS = (Level(Decimal("0.4"), Decimal(7)),)


class ScriptedStream:
    """`MarketStream` of frames that the test tells."""

    connected = True

    def __init__(self) -> None:
        self.tokens: set[TokenId] = set()
        self.bids: tuple[Level, ...] = ()
        self.replaced: list[Book] = []
        self._frames: asyncio.Queue[Sequence[MarketEvent]] = asyncio.Queue()

    async def subscribe(self, tokens: Collection[TokenId]) -> None:
        self.tokens |= set(tokens)

    async def unsubscribe(self, tokens: Collection[TokenId]) -> None:
        self.tokens -= set(tokens)

    async def resubscribe(self, tokens: Collection[TokenId]) -> None:
        raise AssertionError("paper leaves silence to its reads by REST")

    def ladder(self, token_id: TokenId, depth: int) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
        return self.bids, ()

    def replace_book(self, book: Book) -> None:
        self.replaced.append(book)

    async def events(self) -> AsyncIterator[Sequence[MarketEvent]]:
        while True:
            yield await self._frames.get()
            self._frames.task_done()

    async def tell(self, token: TokenId, at_ms: int, *trades: MarketTrade) -> None:
        kind = MarketEventKind.QUOTE
        event = MarketEvent(
            kind=kind, token_id=token, quote=None, venue_timestamp_ms=at_ms, received_ms=0, trades=trades
        )
        self._frames.put_nowait([event])
        await self._frames.join()


class TellsWhileSubscribing(ScriptedStream):
    """A socket whose first trades are read before `subscribe` has returned."""

    async def subscribe(self, tokens: Collection[TokenId]) -> None:
        await super().subscribe(tokens)
        for token in tokens:
            await self.tell(token, 41, TRADE)


class StreamedMarket(HandMadeMarket):
    def __init__(self) -> None:
        super().__init__()
        self.levels = book([("0.40", "9")], [])
        self.socket = ScriptedStream()

    def stream(self) -> AbstractAsyncContextManager[MarketStream]:
        return self._open()

    @asynccontextmanager
    async def _open(self) -> AsyncGenerator[MarketStream]:
        yield self.socket


@pytest.fixture
def market() -> StreamedMarket:
    return StreamedMarket()


@pytest.fixture
async def watch(market: StreamedMarket) -> AsyncGenerator[MarketWatch]:
    async with MarketWatch(market, StandingClock(), sockets=True) as watch:
        await watch.look({TOKEN})
        yield watch


async def test_without_sockets_books_come_by_rest_and_no_trades() -> None:
    market = HandMadeMarket()
    market.levels = book([("0.40", "9")], [])
    async with MarketWatch(market, StandingClock(), sockets=False) as watch:
        (look,) = await watch.look({TOKEN})
    assert (look.book, look.trades, look.at_ms) == (market.levels, (), 1)


async def test_trades_of_the_socket_are_told_once_with_its_book(
    market: StreamedMarket, watch: MarketWatch
) -> None:
    market.socket.bids = LEVELS
    await market.socket.tell(TOKEN, 41, TRADE)
    await market.socket.tell(TOKEN, 39)
    (look,) = await watch.look({TOKEN})
    assert (look.book.bids, list(look.trades), look.at_ms) == (LEVELS, [TRADE], 41)
    (look,) = await watch.look({TOKEN})
    assert list(look.trades) == []


async def test_book_that_the_socket_does_not_have_is_read_and_handed_to_it(
    market: StreamedMarket, watch: MarketWatch
) -> None:
    (look,) = await watch.look({TOKEN})
    assert look.book == market.levels
    assert market.socket.replaced[-1] == market.levels


async def test_trades_wait_for_a_book_that_cannot_be_read(market: StreamedMarket, watch: MarketWatch) -> None:
    await market.socket.tell(TOKEN, 41, TRADE)
    market.failure = VenueTransient("away")
    with pytest.raises(VenueTransient):
        await watch.look({TOKEN})
    market.failure = None
    (look,) = await watch.look({TOKEN})
    assert list(look.trades) == [TRADE]


async def test_token_without_resting_orders_is_watched_no_longer(
    market: StreamedMarket, watch: MarketWatch
) -> None:
    await market.socket.tell(TOKEN, 41, TRADE)
    assert await watch.look(set()) == []
    assert market.socket.tokens == set()
    await market.socket.tell(TOKEN, 42, TRADE)
    (look,) = await watch.look({TOKEN})
    assert list(look.trades) == []


async def test_silent_socket_is_checked_by_rest_now_and_then(
    market: StreamedMarket, watch: MarketWatch
) -> None:
    market.socket.bids = LEVELS
    books = [(await watch.look({TOKEN}))[0].book for _ in range(REREAD_EVERY)]
    assert [seen == market.levels for seen in books].count(True) == 1


async def test_trade_told_while_its_token_is_being_added_is_not_lost(market: StreamedMarket) -> None:
    market.socket = TellsWhileSubscribing()
    async with MarketWatch(market, StandingClock(), sockets=True) as watch:
        (look,) = await watch.look({TOKEN})
    assert list(look.trades) == [TRADE]


def test_book_without_a_time_is_of_now() -> None:
    clock = StandingClock()
    untimed = replace(book([], []), venue_timestamp_ms=None)
    assert book_ms(untimed, clock) == int(clock.at.timestamp() * 1000)
