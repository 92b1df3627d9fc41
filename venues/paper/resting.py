"""What resting paper orders get when the market is looked at. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from domain.orders import Side
from domain.paper import PaperOrder, QueuePlace, UsedDepth
from domain.ports import Book, MarketTrade
from venues.paper.matching import Match, also_used, crosses, match_shares
from venues.paper.queue import is_news, join, let_pass, level_shows, reaches, standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One token's book, and the trades since it was looked at before, in their order.

    `at_ms` is the book's time by the venue's clock.
    """

    book: Book
    trades: Sequence[MarketTrade]
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a look found for one order: its place now, what it got, whether the price was touched.

    `used` is the used depth that it was judged by, with what orders before it got.
    """

    order: PaperOrder
    queue: QueuePlace
    matches: tuple[Match, ...]
    touched: bool
    used: UsedDepth


def look_at(orders: Sequence[PaperOrder], look: Look, used: UsedDepth) -> list[Found]:
    """Return what each resting order of the token gets, in the order in which a venue serves them.

    Trades come first, since the book shows what they left. Orders of one account compete: what one of them
    got out of a trade or a level, the next one does not get.
    """
    found: list[Found] = []
    left = [trade.shares for trade in look.trades]
    for order in sorted(orders, key=_priority):
        before = order.queue or join(look.book, order.side, order.limit_price, look.at_ms)
        queue, from_trades, touched = _served(order, before, look.trades, left)
        depth: tuple[Match, ...] = ()
        judged_by = used
        if is_news(before, look.at_ms):
            queue, depth = _shown(order, queue, look, order.remaining - from_trades, used)
            used = also_used(used, order.side, depth)
            touched = touched or crosses(look.book, order.side, order.limit_price)
        matches = _at_own_price(order, from_trades, depth)
        found.append(Found(order=order, queue=queue, matches=matches, touched=touched, used=judged_by))
    return found


def _shown(
    order: PaperOrder, queue: QueuePlace, look: Look, wanted: Decimal, used: UsedDepth
) -> tuple[QueuePlace, tuple[Match, ...]]:
    """Return the place by what the book shows, and the depth that the order gets.

    A book that shows both depth for the order and shares ahead of it contradicts itself: it gets nothing.
    """
    side, price = order.side, order.limit_price
    queue = level_shows(queue, standing(look.book, side, price), look.at_ms)
    depth = match_shares(look.book, side, price, wanted, used) if queue.ahead == 0 else ()
    return queue, depth


def _served(
    order: PaperOrder, queue: QueuePlace, trades: Sequence[MarketTrade], left: list[Decimal]
) -> tuple[QueuePlace, Decimal, bool]:
    """Let trades pass the order; returns its place, what it got, and whether any reached it.

    `left` is what earlier orders left of each trade; it becomes less by what this order gets.
    """
    since, got, reached = queue.seen_ms, Decimal(0), False
    for index, trade in enumerate(trades):
        if trade.venue_timestamp_ms <= since:
            continue
        queue = replace(queue, seen_ms=max(queue.seen_ms, trade.venue_timestamp_ms))
        if not reaches(trade, order.side, order.limit_price):
            continue
        reached = True
        queue, rest = let_pass(queue, left[index], trade.venue_timestamp_ms)
        shares = min(rest, order.remaining - got)
        left[index] -= shares
        got += shares
    return queue, got, reached


def _at_own_price(order: PaperOrder, from_trades: Decimal, depth: Sequence[Match]) -> tuple[Match, ...]:
    """Return the matches at the order's own price: it rested first."""
    traded = (Match(from_trades, order.limit_price, None),) if from_trades > 0 else ()
    return traded + tuple(replace(match, price=order.limit_price) for match in depth)


def _priority(order: PaperOrder) -> tuple[Decimal, datetime]:
    price = -order.limit_price if order.side is Side.BUY else order.limit_price
    return price, order.created_at
