"""Orders that their market holds: taken at once, matched later, by whoever comes first."""

import asyncio
import uuid
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from domain.errors import VenueTransient
from domain.orders import AnswerKind, Attempt, MarketState, Side, TimeInForce, VenueOrder, VenueOrderStatus
from domain.ports import CancelOutcome
from storage.database import Database
from storage.repositories.paper_orders import PaperOrders
from tests.venues.builders import CONDITION, TOKEN
from tests.venues.paper.desk import Desk, book, buy, seen, sell
from tests.venues.paper_memory import PaperMemory
from venues.paper.ledger import PaperLedger

D = Decimal
HOLD = timedelta(seconds=3)


@pytest.fixture(params=["memory", "postgres"])
async def ledger(request: pytest.FixtureRequest) -> AsyncGenerator[PaperLedger]:
    if request.param == "memory":
        yield PaperMemory()
        return
    async with Database(request.getfixturevalue("database_url"), pool_size=1, hot_pool_size=3) as database:
        yield PaperOrders(database)


@pytest.fixture
async def desk(ledger: PaperLedger) -> Desk:
    """100 shares in a market that holds orders for three seconds, with 30 bid at 0.50."""
    desk = Desk(ledger)
    await desk.holds("100")
    desk.market.market = replace(desk.market.market, hold_ms=3_000)
    desk.market.levels = book([("0.50", "30")], [])
    return desk


def exit_of(shares: str, price: str = "0.40", **changes: object) -> Attempt:
    return sell(uuid.uuid4().hex, price, shares=D(shares), **changes)


async def place_held(desk: Desk, attempt: Attempt) -> None:
    answer = await desk.trading.place(attempt)
    assert (answer.kind, answer.status) == (AnswerKind.ACCEPTED, VenueOrderStatus.DELAYED)


async def order_of(desk: Desk, attempt: Attempt) -> VenueOrder:
    order = await desk.trading.find_order(desk.trading.venue_order_id(attempt), CONDITION)
    assert order is not None
    return order


async def fills_of(desk: Desk, attempt: Attempt) -> list[tuple[Decimal, Decimal]]:
    order_id = desk.trading.venue_order_id(attempt)
    fills = await desk.trading.fills(after=None)
    return [(fill.shares, fill.notional_usd) for fill in fills if fill.venue_order_id == order_id]


async def test_look_up_ends_a_hold_that_is_over_where_no_stream_runs(desk: Desk) -> None:
    attempt = exit_of("20")
    await place_held(desk, attempt)
    desk.clock.at += HOLD - timedelta(milliseconds=1)
    assert (await order_of(desk, attempt)).status is VenueOrderStatus.DELAYED
    assert await fills_of(desk, attempt) == []
    desk.clock.at += timedelta(milliseconds=1)
    desk.market.levels = book([("0.45", "30")], [])  # the book of then counts
    assert (await order_of(desk, attempt)).status is VenueOrderStatus.MATCHED
    assert await fills_of(desk, attempt) == [(D(20), D(9))]


async def test_cancel_after_the_hold_finds_what_became_of_the_order(desk: Desk) -> None:
    filled, resting = exit_of("20"), exit_of("20", "0.45", time_in_force=TimeInForce.GTC)
    for attempt in (filled, resting):
        await place_held(desk, attempt)
        order_id = desk.trading.venue_order_id(attempt)
        assert await desk.trading.cancel(order_id) is CancelOutcome.NOT_CANCELABLE
    desk.clock.at += HOLD
    assert await desk.trading.cancel(desk.trading.venue_order_id(filled)) is CancelOutcome.ALREADY_TERMINAL
    assert await desk.trading.cancel(desk.trading.venue_order_id(resting)) is CancelOutcome.CANCELED
    assert await fills_of(desk, resting) == [(D(10), D(5))]  # the other had the rest of the level


async def test_two_processes_that_end_one_hold_make_one_fill(desk: Desk) -> None:
    attempt = exit_of("20")
    await place_held(desk, attempt)
    desk.clock.at += HOLD
    order_id = desk.trading.venue_order_id(attempt)
    await asyncio.gather(*(desk.session().find_order(order_id, CONDITION) for _ in range(3)))
    assert await fills_of(desk, attempt) == [(D(20), D(10))]
    assert (await desk.trading.holding(TOKEN)).amount == 80


async def test_held_order_is_no_resting_order(desk: Desk) -> None:
    attempt = exit_of("20", "0.45", time_in_force=TimeInForce.GTC)
    await place_held(desk, attempt)
    await desk.trading.meet(seen([("0.50", "30")], [], ("0.50", "30"), at_ms=5))
    assert await fills_of(desk, attempt) == []
    assert [order.status for order in await desk.trading.open_orders()] == [VenueOrderStatus.DELAYED]


async def test_market_that_cannot_be_read_keeps_the_order_held(desk: Desk) -> None:
    attempt = exit_of("20")
    await place_held(desk, attempt)
    desk.clock.at += HOLD
    desk.market.failure = VenueTransient("away")
    assert (await order_of(desk, attempt)).status is VenueOrderStatus.DELAYED
    desk.market.failure, desk.market.no_book = None, True
    assert (await order_of(desk, attempt)).status is VenueOrderStatus.DELAYED
    desk.market.no_book = False
    assert (await order_of(desk, attempt)).status is VenueOrderStatus.MATCHED


@pytest.mark.parametrize("state", [MarketState.PAUSED, MarketState.CANCEL_ONLY, MarketState.CLOSED])
async def test_market_that_stopped_meanwhile_ends_the_order(desk: Desk, state: MarketState) -> None:
    attempt = exit_of("20")
    await place_held(desk, attempt)
    desk.clock.at += HOLD
    desk.market.market = replace(desk.market.market, state=state)
    assert (await order_of(desk, attempt)).status is VenueOrderStatus.INVALID
    assert await fills_of(desk, attempt) == []


async def test_resolved_market_pays_for_shares_that_a_held_order_kept(desk: Desk) -> None:
    attempt = exit_of("20")
    await place_held(desk, attempt)
    before = (await desk.trading.collateral()).amount
    desk.market.market = replace(desk.market.market, state=MarketState.RESOLVED, payout=D(1))
    await desk.trading.pay_out_resolved()
    desk.clock.at += HOLD
    assert (await order_of(desk, attempt)).status.is_terminal
    assert await fills_of(desk, attempt) == []
    assert (await desk.trading.collateral()).amount == before + 100


async def test_held_buy_whose_fee_is_not_covered_ends_without_a_fill(desk: Desk) -> None:
    desk.market.market = replace(desk.market.market, fee_rate=D("0.05"))
    desk.market.levels = book([], [("0.50", "500")])
    cash = (await desk.trading.collateral()).amount
    attempt = buy(uuid.uuid4().hex, "0.50", shares=cash / D("0.50"))  # 100 less what the shares cost: 90
    await place_held(desk, attempt)
    assert (await desk.trading.place(buy("1", "0.50", shares=D(10)))).code == "balance_short"
    desk.clock.at += HOLD
    assert (await order_of(desk, attempt)).status is VenueOrderStatus.INVALID
    assert (await desk.trading.collateral()).amount == cash
    desk.market.market = replace(desk.market.market, hold_ms=0)
    assert (await desk.trading.place(buy("2", "0.50", shares=D(10)))).kind is AnswerKind.ACCEPTED


async def test_short_hold_meets_the_book_as_it_is_afterwards(desk: Desk) -> None:
    desk.market.market = replace(desk.market.market, hold_ms=1)
    desk.market.next_levels = book([("0.45", "30")], [])
    attempt = exit_of("20")
    assert (await desk.trading.place(attempt)).status is VenueOrderStatus.MATCHED
    assert await fills_of(desk, attempt) == [(D(20), D(9))]


async def test_order_that_trades_with_nobody_is_killed_without_a_hold(desk: Desk) -> None:
    killed = exit_of("40", time_in_force=TimeInForce.FOK)
    assert (await desk.trading.place(killed)).code == "fok_killed"
    assert (await desk.trading.place(exit_of("20", "0.51"))).code == "fak_unmatched"
    sold = [fill for fill in await desk.trading.fills(after=None) if fill.side is Side.SELL]
    assert sold == []
