"""Any course of a market: paper orders never get more, nor earlier, than a real queue could have given."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import TypeAlias

from hypothesis import example, given, settings
from hypothesis import strategies as st

from domain.ids import TokenId, VenueOrderId
from domain.orders import AnswerKind, Side, TimeInForce
from domain.paper import DepthSeen, PaperAccount, PaperFill, PaperOrder, UsedDepth
from domain.ports import Book, MarketTrade
from domain.quotes import Level
from tests.venues.builders import TOKEN
from tests.venues.paper.desk import Desk, buy, sell
from tests.venues.paper.naive_market import NaiveMarket, Rested, Snapshot, Trade
from tests.venues.paper_memory import PaperMemory
from venues.paper.resting import Look

SHARES = st.integers(1, 60)
PRICES = st.integers(49, 51)
MOST_ORDERS = 3
Step: TypeAlias = tuple[str, int, int]

STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["bid", "offer", "sell_beyond", "lift"]), PRICES, SHARES),
        st.tuples(st.just("leave"), PRICES, st.integers(0, 5)),
        st.tuples(st.just("rest"), PRICES, st.integers(5, 40)),
        st.tuples(st.sampled_from(["bid", "offer"]), st.just(50), SHARES),
        st.tuples(st.just("look"), st.just(0), st.just(0)),
        st.tuples(st.just("look"), st.integers(0, 3), st.integers(0, 4)),
    ),
    min_size=5,
    max_size=40,
)


class InTurns(PaperMemory):
    """A ledger before whose answers another process may get its turn."""

    async def used_depth(self, account: PaperAccount, token_id: TokenId, since: datetime) -> UsedDepth:
        await asyncio.sleep(0)
        return await super().used_depth(account, token_id, since)

    async def record(
        self,
        before: PaperOrder,
        after: PaperOrder,
        fills: Sequence[PaperFill],
        seen: DepthSeen | None = None,
    ) -> bool:
        await asyncio.sleep(0)
        return await super().record(before, after, fills, seen)


class Play:
    """One market told twice: to the naive queue, and to paper; `side` mirrors what paper sees.

    `processes` follow it on paper, each of them told everything.
    """

    def __init__(self, side: Side, processes: int = 1) -> None:
        self.side = side
        self.ledger = InTurns() if processes > 1 else PaperMemory()
        self.desk = Desk(self.ledger)
        self.sessions = [self.desk.session() for _ in range(processes)]
        self.naive = NaiveMarket()
        self.orders: dict[VenueOrderId, tuple[Rested, int]] = {}
        self.names = count(1000)

    async def run(self, steps: list[Step]) -> None:
        if self.side is Side.SELL:
            await self.desk.holds("120")
        for name, first, second in steps:
            self.naive.tick()
            self.desk.clock.at += timedelta(milliseconds=1)
            if name == "rest":
                await self.rest(first, second)
            elif name == "look":
                await self.look(held_back=first, behind=second)
            else:
                self.happens(name, first, second)
            await self.judge()

    def happens(self, name: str, price: int, number: int) -> None:
        naive = self.naive
        events: dict[str, Callable[[], None]] = {
            "bid": lambda: naive.bid(price, number),
            "offer": lambda: naive.offer(price, number),
            "sell_beyond": lambda: naive.sell_beyond(price, number),
            "lift": lambda: naive.lift(number),
            "leave": lambda: naive.leave(price, number),
        }
        events[name]()

    async def rest(self, price: int, shares: int) -> None:
        if len(self.orders) == MOST_ORDERS:
            return
        place = buy if self.side is Side.BUY else sell
        self.desk.market.levels = self.book(self.naive.snapshot())
        answer = await self.desk.trading.place(
            place(
                str(next(self.names)),
                str(self.price(price)),
                shares=Decimal(shares),
                time_in_force=TimeInForce.GTC,
            )
        )
        assert answer.kind is AnswerKind.ACCEPTED
        assert answer.venue_order_id is not None
        self.orders[answer.venue_order_id] = self.naive.rest(price), shares

    async def look(self, *, held_back: int, behind: int) -> None:
        """The newest trades may be told a look later, and the book may be an older one."""
        naive = self.naive
        told = naive.untold[: len(naive.untold) - held_back] if held_back else list(naive.untold)
        naive.untold = naive.untold[len(told) :]
        snapshot = naive.past[-min(behind, len(naive.past))] if behind else naive.snapshot()
        naive.look_at(snapshot, naive.rested)
        trades = [self.trade(each) for each in told]
        seen = Look(book=self.book(snapshot), trades=trades, at_ms=snapshot.at_ms)
        await asyncio.gather(*(session.meet(seen) for session in self.sessions))

    async def judge(self) -> None:
        from_trades: Counter[VenueOrderId] = Counter()
        from_level: Counter[int] = Counter()
        earliest: dict[VenueOrderId, datetime] = {}
        for each in self.ledger.paper_fills():
            order_id = each.fill.venue_order_id
            if order_id not in self.orders:
                continue
            earliest.setdefault(order_id, each.fill.traded_at)
            if each.level_price is None:
                from_trades[order_id] += int(each.fill.shares)
            else:
                from_level[self.cents(each.level_price)] += int(each.fill.shares)
        for order_id, (rested, shares) in self.orders.items():
            order = await self.desk.ledger.find(self.desk.account, order_id)
            assert order is not None
            self.judge_order(order, rested, shares, from_trades[order_id])
            if order_id in earliest:
                assert order.touched_at is not None
                assert order.touched_at <= earliest[order_id]
        assert from_trades.total() <= self.naive.could_get_together
        for level, given_out in from_level.items():
            assert given_out <= self.naive.shown[level]

    def judge_order(self, order: PaperOrder, rested: Rested, shares: int, from_trades: int) -> None:
        assert order.matched_shares <= shares
        assert from_trades <= rested.could_get
        assert order.touched_at is None or rested.touched
        assert order.queue is not None
        assert order.queue.ahead >= 0

    def book(self, snapshot: Snapshot) -> Book:
        bids, asks = self.levels(snapshot.bids), self.levels(snapshot.asks)
        if self.side is Side.SELL:
            bids, asks = asks, bids
        return Book(
            token_id=TOKEN,
            bids=tuple(sorted(bids, key=lambda level: -level.price)),
            asks=tuple(sorted(asks, key=lambda level: level.price)),
            last=None,
            tick=Decimal("0.01"),
            venue_timestamp_ms=snapshot.at_ms,
        )

    def levels(self, sizes: dict[int, int]) -> list[Level]:
        return [Level(self.price(cents), Decimal(shares)) for cents, shares in sizes.items()]

    def trade(self, trade: Trade) -> MarketTrade:
        other = Side.SELL if self.side is Side.BUY else Side.BUY
        return MarketTrade(
            price=self.price(trade.price),
            shares=Decimal(trade.shares),
            taker=other if trade.sold else self.side,
            venue_timestamp_ms=trade.at_ms,
        )

    def price(self, cents: int) -> Decimal:
        return Decimal(cents if self.side is Side.BUY else 100 - cents) / 100

    def cents(self, price: Decimal) -> int:
        cents = int(price * 100)
        return cents if self.side is Side.BUY else 100 - cents


@settings(deadline=None, max_examples=150)
@given(side=st.sampled_from(Side), ahead=st.integers(0, 30), steps=STEPS)
@example(side=Side.BUY, ahead=0, steps=[("offer", 50, 10), ("lift", 50, 10), ("look", 0, 0)])
@example(side=Side.BUY, ahead=0, steps=[("offer", 49, 1), ("lift", 49, 1), ("rest", 49, 5), ("look", 0, 3)])
def test_resting_orders_get_no_more_and_no_earlier_than_a_real_queue_gives(
    side: Side, ahead: int, steps: list[Step]
) -> None:
    opening = [("bid", 50, ahead), ("rest", 50, 30)]
    asyncio.run(Play(side).run([*opening, *steps]))


async def filled(play: Play, steps: list[Step]) -> list[Decimal]:
    await play.run(steps)
    orders = [await play.ledger.find(play.desk.account, order_id) for order_id in play.orders]
    return [order.matched_shares for order in orders if order is not None]


@settings(deadline=None, max_examples=60)
@given(side=st.sampled_from(Side), ahead=st.integers(0, 30), steps=STEPS)
def test_several_processes_that_follow_one_market_give_just_what_one_does(
    side: Side, ahead: int, steps: list[Step]
) -> None:
    course = [("bid", 50, ahead), ("rest", 50, 30), *steps]
    alone = asyncio.run(filled(Play(side), course))
    assert asyncio.run(filled(Play(side, processes=3), course)) == alone
