"""Two processes that trade for one account never use the same shares of a level twice."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial

import pytest

from domain.ids import TokenId, VenueOrderId
from domain.orders import AnswerKind, Attempt, Side, TimeInForce, VenueOrderStatus
from domain.paper import PaperAccount, QueuePlace, UsedDepth
from storage.database import Database
from storage.repositories.paper_orders import PaperOrders
from tests.venues.builders import TOKEN
from tests.venues.paper.desk import Desk, StandingClock, book, buy, seen, sell
from tests.venues.paper_memory import PaperMemory
from venues.paper.fills import maker_fills
from venues.paper.ledger import PaperLedger
from venues.paper.matching import Match
from venues.paper.resting import Look
from venues.paper.trading import PaperConfig, PaperTrading

D = Decimal


class ReadTogether:
    """A ledger for two: the first reads of both are over before either goes on."""

    def __init__(self, ledger: PaperLedger) -> None:
        self._ledger = ledger
        self._both = asyncio.Barrier(2)
        self._first_reads = 2

    def __getattr__(self, name: str) -> object:
        return getattr(self._ledger, name)

    async def used_depth(self, account: PaperAccount, token_id: TokenId, since: datetime) -> UsedDepth:
        used = await self._ledger.used_depth(account, token_id, since)
        if self._first_reads:
            self._first_reads -= 1
            await self._both.wait()
        return used


class UsesDepthMeanwhile:
    """A ledger in which another order of the account uses depth between a look's reading and its booking."""

    def __init__(self, ledger: PaperLedger, meanwhile: Callable[[], Awaitable[object]]) -> None:
        self._ledger = ledger
        self._meanwhile: Callable[[], Awaitable[object]] | None = meanwhile

    def __getattr__(self, name: str) -> object:
        return getattr(self._ledger, name)

    async def used_depth(self, account: PaperAccount, token_id: TokenId, since: datetime) -> UsedDepth:
        used = await self._ledger.used_depth(account, token_id, since)
        meanwhile, self._meanwhile = self._meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        return used


@pytest.fixture(params=["memory", "postgres"])
async def ledger(request: pytest.FixtureRequest) -> AsyncGenerator[PaperLedger]:
    if request.param == "memory":
        yield PaperMemory()
        return
    async with Database(request.getfixturevalue("database_url"), pool_size=1, hot_pool_size=3) as database:
        yield PaperOrders(database)


@pytest.fixture
async def desk(ledger: PaperLedger) -> Desk:
    desk = Desk(ledger)
    await desk.holds("100")
    desk.clock.at = desk.clock.at.replace(hour=13)
    return desk


def two_sessions(desk: Desk) -> list[PaperTrading]:
    together = ReadTogether(desk.ledger)
    config = PaperConfig(sockets=False, start_usd=D(100))
    return [
        PaperTrading(desk.account, desk.market, together, clock, config)  # type: ignore[arg-type]
        for clock in (desk.clock, StandingClockAt(desk.clock.at))
    ]


class StandingClockAt(StandingClock):
    def __init__(self, at: datetime) -> None:
        super().__init__()
        self.at = at


async def sold_at(desk: Desk, price: str) -> Decimal:
    used = await desk.ledger.used_depth(desk.account, TOKEN, desk.clock.at.replace(minute=0, hour=12))
    return used.get((Side.SELL, D(price)), D(0))


def exit_of(shares: str, price: str = "0.40", **changes: object) -> Attempt:
    return sell(uuid.uuid4().hex, price, shares=D(shares), **changes)


async def test_two_exits_at_once_share_the_level(desk: Desk) -> None:
    desk.market.levels = book([("0.50", "30"), ("0.45", "100")], [])
    answers = await asyncio.gather(*(s.place(exit_of("25")) for s in two_sessions(desk)))
    assert [answer.kind for answer in answers] == [AnswerKind.ACCEPTED] * 2
    assert (await sold_at(desk, "0.50"), await sold_at(desk, "0.45")) == (30, 20)


async def test_fok_that_finds_its_depth_gone_is_killed(desk: Desk) -> None:
    desk.market.levels = book([("0.50", "30")], [])
    orders = [exit_of("25", time_in_force=TimeInForce.FOK) for _ in range(2)]
    answers = await asyncio.gather(
        *(session.place(order) for session, order in zip(two_sessions(desk), orders, strict=True))
    )
    assert sorted(answer.kind for answer in answers) == [AnswerKind.ACCEPTED, AnswerKind.NO_LIQUIDITY]
    assert await sold_at(desk, "0.50") == 25


async def test_resting_orders_that_two_processes_follow_share_the_level(desk: Desk) -> None:
    for _ in range(2):
        await desk.trading.place(exit_of("20", "0.50", time_in_force=TimeInForce.GTC))
    look = seen([("0.50", "30")], [], at_ms=5)
    await asyncio.gather(*(session.meet(look) for session in two_sessions(desk)))
    for session in two_sessions(desk)[:1]:
        assert sum(f.shares for f in await session.fills(after=None) if f.side is Side.SELL) <= 30
    await desk.trading.meet(seen([("0.50", "30")], [], at_ms=6))
    assert await sold_at(desk, "0.50") == 30


async def test_buys_at_once_share_the_level(desk: Desk) -> None:
    desk.market.levels = book([], [("0.50", "30")])
    orders = [buy(uuid.uuid4().hex, "0.50", shares=D(25)) for _ in range(2)]
    await asyncio.gather(
        *(session.place(order) for session, order in zip(two_sessions(desk), orders, strict=True))
    )
    used = await desk.ledger.used_depth(desk.account, TOKEN, desk.clock.at.replace(hour=12))
    assert used[Side.BUY, D("0.50")] == 30


async def look_during(desk: Desk, meanwhile: Callable[[], Awaitable[object]], look: Look) -> None:
    ledger = UsesDepthMeanwhile(desk.ledger, meanwhile)
    config = PaperConfig(sockets=False, start_usd=D(100))
    session = PaperTrading(desk.account, desk.market, ledger, desk.clock, config)  # type: ignore[arg-type]
    await session.meet(look)


async def sold(desk: Desk) -> dict[VenueOrderId, Decimal]:
    total: dict[VenueOrderId, Decimal] = {}
    for fill in await desk.trading.fills(after=None):
        if fill.side is Side.SELL:
            total[fill.venue_order_id] = total.get(fill.venue_order_id, D(0)) + fill.shares
    return total


async def test_trade_is_not_lost_when_another_process_used_depth_meanwhile(desk: Desk) -> None:
    await desk.trading.place(exit_of("20", "0.50", time_in_force=TimeInForce.GTC))
    (resting,) = await desk.ledger.open_orders(desk.account, None)
    desk.market.levels = book([("0.50", "12")], [])
    look = seen([("0.50", "12")], [], ("0.50", "5"), at_ms=5)
    await look_during(desk, lambda: desk.trading.place(exit_of("10")), look)
    total = await sold(desk)
    assert total[resting.venue_order_id] == 7  # 5 out of the trade, 2 that the other left of the level
    assert sum(total.values()) == 17


@pytest.mark.parametrize("shares", ["20", "30"])  # the first is filled whole, or goes on to rest
async def test_trade_that_another_process_booked_is_not_given_to_those_behind(
    desk: Desk, shares: str
) -> None:
    for _ in range(2):
        await desk.trading.place(exit_of(shares, "0.50", time_in_force=TimeInForce.GTC))
        desk.clock.at += timedelta(milliseconds=1)
    first, second = await desk.ledger.open_orders(desk.account, None)
    look = seen([], [], ("0.50", "20"), at_ms=5)

    async def book_the_first() -> None:
        queue = QueuePlace(ahead=D(0), seen_ms=5)
        got = (Match(D(20), D("0.50"), None),)
        status = VenueOrderStatus.MATCHED if shares == "20" else VenueOrderStatus.LIVE
        after = replace(first, matched_shares=D(20), status=status, queue=queue)
        assert await desk.ledger.record(first, after, maker_fills(first, got, desk.clock.at))

    await look_during(desk, book_the_first, look)
    assert await sold(desk) == {first.venue_order_id: 20}
    assert (await desk.ledger.find(desk.account, second.venue_order_id)) is not None


async def test_order_canceled_meanwhile_gets_nothing(desk: Desk) -> None:
    answer = await desk.trading.place(exit_of("20", "0.50", time_in_force=TimeInForce.GTC))
    assert answer.venue_order_id is not None
    look = seen([], [], ("0.50", "20"), at_ms=5)
    await look_during(desk, partial(desk.trading.cancel, answer.venue_order_id), look)
    assert await sold(desk) == {}
