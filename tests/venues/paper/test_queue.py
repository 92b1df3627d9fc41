"""The rules of the queue, one by one."""

from dataclasses import replace
from decimal import Decimal

import pytest

from domain.orders import AnswerKind, Side, TimeInForce
from domain.paper import PaperOrder, QueuePlace
from domain.ports import MarketTrade
from tests.venues.paper.desk import Desk, book, buy, seen, sell
from venues.paper.queue import TOLD_WITHIN_MS, is_news, join, let_pass, level_shows, reaches

D = Decimal
GTC = TimeInForce.GTC


def trade(price: str, taker: Side, shares: str = "10") -> MarketTrade:
    return MarketTrade(price=D(price), shares=D(shares), taker=taker, venue_timestamp_ms=2)


class TestPlace:
    @pytest.mark.parametrize(("side", "ahead"), [(Side.BUY, 70), (Side.SELL, 30)])
    def test_joins_behind_all_that_stands_at_its_price_on_its_side(self, side: Side, ahead: int) -> None:
        market = book([("0.50", "70"), ("0.49", "9")], [("0.50", "30"), ("0.51", "8")])
        assert join(market, side, D("0.50"), 7) == QueuePlace(ahead=D(ahead), seen_ms=7)

    def test_is_first_where_nothing_stands(self) -> None:
        assert join(book([("0.49", "70")], []), Side.BUY, D("0.50"), 7).ahead == 0

    def test_book_from_before_it_joined_is_no_news(self) -> None:
        place = QueuePlace(ahead=D(10), seen_ms=7)
        assert [is_news(place, at_ms) for at_ms in (6, 7, 8)] == [False, True, True]


class TestTrade:
    def test_goes_to_those_ahead_first_and_the_rest_to_the_order(self) -> None:
        place, rest = let_pass(QueuePlace(ahead=D(30)), D(20), 1)
        assert (place.ahead, rest) == (10, 0)
        place, rest = let_pass(place, D(25), 2)
        assert (place.ahead, rest) == (0, 15)

    @pytest.mark.parametrize(
        ("side", "price", "taker", "reached"),
        [
            (Side.BUY, "0.50", Side.SELL, True),
            (Side.BUY, "0.49", Side.SELL, True),
            (Side.BUY, "0.51", Side.SELL, False),
            (Side.BUY, "0.50", Side.BUY, False),
            (Side.SELL, "0.50", Side.BUY, True),
            (Side.SELL, "0.51", Side.BUY, True),
            (Side.SELL, "0.49", Side.BUY, False),
            (Side.SELL, "0.50", Side.SELL, False),
        ],
    )
    def test_reaches_at_the_price_or_beyond_from_the_other_side_only(
        self, side: Side, price: str, taker: Side, reached: bool
    ) -> None:
        assert reaches(trade(price, taker), side, D("0.50")) is reached


class TestLevel:
    def test_that_shows_enough_for_all_ahead_says_nothing(self) -> None:
        place = QueuePlace(ahead=D(30))
        assert level_shows(place, D(30), 1) is place
        assert level_shows(place, D(99), 1) is place

    def test_that_shows_less_moves_the_order_up_and_owes_it(self) -> None:
        place = level_shows(QueuePlace(ahead=D(30)), D(10), 5)
        assert (place.ahead, place.credited, place.credited_ms) == (10, 20, 5)

    def test_trade_told_after_it_shrank_moves_nothing_up_twice(self) -> None:
        shrunk = level_shows(QueuePlace(ahead=D(30)), D(10), 5)
        place, rest = let_pass(shrunk, D(20), 4)
        assert (place.ahead, place.credited, rest) == (10, 0, 0)

    def test_trade_larger_than_what_is_owed_goes_on(self) -> None:
        shrunk = level_shows(QueuePlace(ahead=D(30)), D(10), 5)
        place, rest = let_pass(shrunk, D(35), 4)
        assert (place.ahead, rest) == (0, 5)

    def test_what_is_owed_is_forgotten_when_no_trade_comes_in_time(self) -> None:
        shrunk = level_shows(QueuePlace(ahead=D(30)), D(0), 5)
        last = 5 + TOLD_WITHIN_MS
        assert let_pass(shrunk, D(12), last)[1] == 0
        assert let_pass(shrunk, D(12), last + 1)[1] == 12

    def test_older_book_does_not_shorten_what_is_owed(self) -> None:
        place = level_shows(QueuePlace(ahead=D(30)), D(20), 900)
        place = level_shows(place, D(10), 100)
        assert (place.credited, place.credited_ms) == (20, 900)


class TestLook:
    """Orders that rest at 0.50 with 30 shares ahead of them."""

    @pytest.fixture
    async def desk(self) -> Desk:
        desk = Desk()
        await desk.holds("100")
        desk.market.levels = book([("0.40", "5")], [("0.50", "30")])
        return desk

    async def rest(self, desk: Desk, name: str = "1001", price: str = "0.50", shares: int = 20) -> None:
        answer = await desk.trading.place(sell(name, price, shares=D(shares), time_in_force=GTC))
        assert answer.kind is AnswerKind.ACCEPTED

    async def resting(self, desk: Desk) -> list[PaperOrder]:
        return list(await desk.ledger.open_orders(desk.account, None))

    async def test_trade_through_those_ahead_fills_the_order_at_its_price(self, desk: Desk) -> None:
        await self.rest(desk)
        await desk.trading.meet(seen([], [("0.50", "30")], ("0.50", "30"), at_ms=2))
        (order,) = await self.resting(desk)
        assert (order.matched_shares, order.touched_at) == (0, desk.clock.at)
        await desk.trading.meet(seen([], [], ("0.51", "50"), at_ms=3))
        assert await self.resting(desk) == []
        sold = [fill for fill in await desk.trading.fills(after=None) if fill.side is Side.SELL]
        assert [(fill.shares, fill.notional_usd, fill.fee_usd) for fill in sold] == [(20, 10, 0)]

    async def test_trades_from_before_it_joined_pass_by(self, desk: Desk) -> None:
        await self.rest(desk)
        await desk.trading.meet(seen([], [("0.50", "30")], ("0.50", "90"), at_ms=1))
        (order,) = await self.resting(desk)
        assert (order.matched_shares, order.touched_at) == (0, None)

    async def test_same_trade_told_again_moves_nothing(self, desk: Desk) -> None:
        await self.rest(desk)
        for _ in range(3):
            await desk.trading.meet(seen([], [("0.50", "30")], ("0.50", "20"), at_ms=2))
        (order,) = await self.resting(desk)
        assert order.queue is not None
        assert (order.queue.ahead, order.matched_shares) == (10, 0)

    async def test_book_from_before_it_joined_neither_fills_nor_touches_nor_moves_up(
        self, desk: Desk
    ) -> None:
        await self.rest(desk)
        (before,) = await self.resting(desk)
        await desk.trading.meet(seen([("0.60", "90")], [], at_ms=0))
        assert await self.resting(desk) == [before]

    async def test_depth_beside_shares_ahead_touches_but_does_not_fill(self, desk: Desk) -> None:
        await self.rest(desk)
        await desk.trading.meet(seen([("0.50", "90")], [("0.50", "30")], at_ms=2))
        (order,) = await self.resting(desk)
        assert (order.matched_shares, order.touched_at) == (0, desk.clock.at)

    async def test_first_touch_is_kept(self, desk: Desk) -> None:
        await self.rest(desk)
        first = desk.clock.at
        for at_ms in (2, 3):
            await desk.trading.meet(seen([], [("0.50", "30")], ("0.50", "1"), at_ms=at_ms))
            desk.clock.at = desk.clock.at.replace(minute=at_ms)
        (order,) = await self.resting(desk)
        assert order.touched_at == first

    async def test_order_that_finds_depth_at_once_is_touched_as_it_is_placed(self, desk: Desk) -> None:
        await self.rest(desk, price="0.40")
        (order,) = await self.resting(desk)
        assert (order.matched_shares, order.touched_at) == (5, desk.clock.at)

    async def test_orders_of_one_account_share_a_trade_the_better_price_first(self, desk: Desk) -> None:
        await self.rest(desk, "1001", "0.50")
        desk.market.levels = book([], [("0.50", "30")])
        await self.rest(desk, "1002", "0.49")
        await desk.trading.meet(seen([], [], ("0.50", "60"), at_ms=2))
        (order,) = await self.resting(desk)
        assert (order.limit_price, order.matched_shares) == (D("0.50"), 10)

    async def test_orders_of_one_account_share_a_level_the_older_first(self, desk: Desk) -> None:
        await self.rest(desk, "1001")
        desk.clock.at = desk.clock.at.replace(second=1)
        await self.rest(desk, "1002")
        for at_ms in (2, 3):
            await desk.trading.meet(seen([("0.51", "25")], [], at_ms=at_ms))
        (order,) = await self.resting(desk)
        assert (order.created_at, order.matched_shares) == (desk.clock.at, 5)

    async def test_order_without_a_place_joins_at_the_first_look(self, desk: Desk) -> None:
        await self.rest(desk)
        (order,) = await self.resting(desk)
        await desk.ledger.record(order, replace(order, queue=None), ())
        await desk.trading.meet(seen([], [("0.50", "44")], ("0.50", "90"), at_ms=2))
        (order,) = await self.resting(desk)
        assert order.queue == QueuePlace(ahead=D(44), seen_ms=2)

    async def test_immediate_order_has_no_place(self, desk: Desk) -> None:
        answer = await desk.trading.place(buy("1003", "0.50", shares=D(10)))
        assert answer.venue_order_id is not None
        order = await desk.ledger.find(desk.account, answer.venue_order_id)
        assert order is not None
        assert order.queue is None
