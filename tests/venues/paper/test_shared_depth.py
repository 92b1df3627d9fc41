"""Two processes that trade for one account never use the same shares of a level twice."""

import asyncio
import uuid
from collections.abc import AsyncGenerator
from datetime import datetime
from decimal import Decimal

import pytest

from domain.ids import TokenId
from domain.orders import AnswerKind, Attempt, Side, TimeInForce
from domain.paper import PaperAccount, UsedDepth
from storage.database import Database
from storage.repositories.paper_orders import PaperOrders
from tests.venues.builders import TOKEN
from tests.venues.paper.desk import Desk, StandingClock, book, buy, seen, sell
from tests.venues.paper_memory import PaperMemory
from venues.paper.ledger import PaperLedger
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
