"""A paper order's place in the queue outlives the process that follows it."""

import uuid
from collections.abc import AsyncGenerator
from dataclasses import replace
from decimal import Decimal

import pytest

from domain.orders import AnswerKind, Side, TimeInForce
from domain.paper import PaperOrder, QueuePlace
from storage.database import Database
from storage.repositories.paper_orders import PaperOrders
from tests.venues.paper.desk import Desk, book, seen, sell
from tests.venues.paper_memory import PaperMemory
from venues.paper.ledger import PaperLedger

D = Decimal


@pytest.fixture(params=["memory", "postgres"])
async def ledger(request: pytest.FixtureRequest) -> AsyncGenerator[PaperLedger]:
    if request.param == "memory":
        yield PaperMemory()
        return
    async with Database(request.getfixturevalue("database_url"), pool_size=1, hot_pool_size=2) as database:
        yield PaperOrders(database)


@pytest.fixture
async def desk(ledger: PaperLedger) -> Desk:
    """A sell of 20 at 0.50 behind 30, touched by a trade that took 10 of them; 5 more left the level."""
    desk = Desk(ledger)
    await desk.holds("100")
    desk.market.levels = book([], [("0.50", "30")])
    attempt = sell(uuid.uuid4().hex, "0.50", shares=D(20), time_in_force=TimeInForce.GTC)
    answer = await desk.trading.place(attempt)
    assert answer.kind is AnswerKind.ACCEPTED
    await desk.trading.meet(seen([], [("0.50", "15")], ("0.50", "10"), at_ms=7))
    return desk


async def resting(desk: Desk) -> PaperOrder:
    (order,) = await desk.ledger.open_orders(desk.account, None)
    return order


async def test_place_and_touch_come_back_as_they_were(desk: Desk) -> None:
    order = await resting(desk)
    assert order.queue == QueuePlace(ahead=D(15), credited=D(5), credited_ms=7, seen_ms=7)
    assert order.touched_at == desk.clock.at
    assert await desk.ledger.find(desk.account, order.venue_order_id) == order


async def test_next_process_goes_on_where_the_last_one_stopped(desk: Desk) -> None:
    touched_at = desk.clock.at
    desk.clock.at = desk.clock.at.replace(minute=1)
    session = desk.session()
    await session.meet(seen([], [("0.50", "15")], ("0.50", "10"), at_ms=7))  # told to both: counts once
    await session.meet(seen([], [], ("0.50", "28"), at_ms=8))
    order = await resting(desk)
    assert (order.matched_shares, order.touched_at) == (8, touched_at)  # 5 owed and 15 ahead went before
    sold = [fill.shares for fill in await session.fills(after=None) if fill.side is Side.SELL]
    assert sold == [8]


async def test_touch_that_another_process_saw_is_not_unseen(desk: Desk) -> None:
    order = await resting(desk)
    blind = replace(order, touched_at=None)
    moved = replace(blind, queue=QueuePlace(ahead=D(9), seen_ms=9))
    assert await desk.ledger.record(blind, moved, ())
    assert await resting(desk) == replace(moved, touched_at=desk.clock.at)


async def test_change_judged_by_an_old_place_is_refused(desk: Desk) -> None:
    order = await resting(desk)
    assert order.queue is not None
    stale = replace(order, queue=replace(order.queue, ahead=D(30), seen_ms=1))
    assert not await desk.ledger.record(stale, replace(stale, matched_shares=D(20)), ())
    assert await resting(desk) == order
