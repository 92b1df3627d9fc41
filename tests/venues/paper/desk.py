"""A desk for tests of paper trading: a market made by hand, a clock that stands, one account."""

import uuid
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from decimal import Decimal

from domain.errors import UnknownToken
from domain.ids import AccountId, TokenId
from domain.orders import AnswerKind, Attempt, Instrument, MarketState, Side
from domain.paper import PaperAccount
from domain.ports import Book, MarketStream, MarketTrade
from domain.quotes import Level
from tests.venues.builders import CONDITION, TOKEN, make_attempt
from tests.venues.paper_memory import PaperMemory
from venues.paper.ledger import PaperLedger
from venues.paper.resting import Look
from venues.paper.trading import PaperConfig, PaperTrading

D = Decimal


class StandingClock:
    def __init__(self) -> None:
        self.at = datetime(2026, 11, 21, 12, tzinfo=UTC)
        self.ms = 0

    def now(self) -> datetime:
        return self.at

    def monotonic_ms(self) -> int:
        return self.ms


class HandMadeMarket:
    """`MarketData` of one token with a book that the test sets."""

    def __init__(self) -> None:
        self.market = Instrument(
            venue="polymarket",
            market_id=CONDITION,
            token_id=TOKEN,
            tick=D("0.01"),
            min_shares=D(5),
            neg_risk=False,
            state=MarketState.OPEN,
        )
        self.levels = book([], [])
        self.failure: Exception | None = None
        self.no_book = False
        self.next_levels: Book | None = None

    async def instrument(self, token_id: TokenId) -> Instrument:
        if self.failure is not None:
            raise self.failure
        return self.market

    async def book(self, token_id: TokenId) -> Book:
        if self.no_book:
            raise UnknownToken("no book")
        shown = self.levels
        self.levels, self.next_levels = self.next_levels or shown, None
        return shown

    async def books(self, token_ids: Sequence[TokenId]) -> Sequence[Book]:
        if self.failure is not None:
            raise self.failure
        return [self.levels for _ in token_ids]

    def stream(self) -> AbstractAsyncContextManager[MarketStream]:
        raise AssertionError("paper needs no socket")

    async def server_time_ms(self) -> int:
        return 0


def book(bids: list[tuple[str, str]], asks: list[tuple[str, str]]) -> Book:
    return Book(
        token_id=TOKEN,
        bids=tuple(Level(D(price), D(size)) for price, size in bids),
        asks=tuple(Level(D(price), D(size)) for price, size in asks),
        last=None,
        tick=D("0.01"),
        venue_timestamp_ms=1,
    )


def seen(
    bids: list[tuple[str, str]],
    asks: list[tuple[str, str]],
    *trades: tuple[str, str],
    at_ms: int = 1,
    taker: Side = Side.BUY,
) -> Look:
    """A look at a book, with trades of a price and a size, all at `at_ms`."""
    told = [
        MarketTrade(price=D(price), shares=D(size), taker=taker, venue_timestamp_ms=at_ms)
        for price, size in trades
    ]
    return Look(book=book(bids, asks), trades=told, at_ms=at_ms)


class Desk:
    def __init__(self, ledger: PaperLedger | None = None) -> None:
        self.ledger = ledger or PaperMemory()
        self.market = HandMadeMarket()
        self.clock = StandingClock()
        self.account = PaperAccount(account_id=AccountId(f"acc_{uuid.uuid4().hex}"), venue="polymarket")
        self.trading = self.session()

    def session(self, *, sockets: bool = False) -> PaperTrading:
        config = PaperConfig(poll_s=0.001, sockets=sockets, start_usd=D(100), payout_every=1)
        return PaperTrading(self.account, self.market, self.ledger, self.clock, config)

    async def holds(self, shares: str) -> None:
        self.market.levels = book([], [("0.10", shares)])
        answer = await self.trading.place(buy("1000", "0.10", shares=D(shares), salt=uuid.uuid4().int >> 80))
        assert answer.kind is AnswerKind.ACCEPTED
        self.market.levels = book([], [])


def buy(order: str, price: str, **changes: object) -> Attempt:
    values: dict[str, object] = {"side": Side.BUY, "order_id": order, "limit_price": D(price)}
    return make_attempt(**(values | changes))


def sell(order: str, price: str, **changes: object) -> Attempt:
    return make_attempt(order_id=order, limit_price=D(price), **changes)
