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

    `left` is what it leaves of each trade, `used` the used depth with what it got.
    """

    order: PaperOrder
    queue: QueuePlace
    matches: tuple[Match, ...]
    touched: bool
    left: tuple[Decimal, ...]
    used: UsedDepth


def in_turn(orders: Sequence[PaperOrder]) -> list[PaperOrder]:
    """Return one token's resting orders in the order in which a venue serves them: price, then time."""
    return sorted(orders, key=_priority)


def look_at(order: PaperOrder, look: Look, left: Sequence[Decimal], used: UsedDepth) -> Found:
    """Return what a resting order of the token gets.

    Trades come first, since the book shows what they left. Orders of one account compete: what one of them
    got out of a trade or a level, the next one does not get.

    Args:
        order: the order as the ledger has it.
        look: what was seen of its market.
        left: what orders served before left of each trade.
        used: what fills have lately used of the levels.
    """
    before = order.queue or join(look.book, order.side, order.limit_price, look.at_ms)
    served = _served(order, before, look.trades, left)
    queue, touched = served.queue, served.touched
    depth: tuple[Match, ...] = ()
    if is_news(before, look.at_ms):
        queue, depth = _shown(order, queue, look, order.remaining - served.shares, used)
        touched = touched or crosses(look.book, order.side, order.limit_price)
    return Found(
        order=order,
        queue=queue,
        matches=_at_own_price(order, served.shares, depth),
        touched=touched,
        left=served.left,
        used=also_used(used, order.side, depth),
    )


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


@dataclass(frozen=True, slots=True)
class _Served:
    queue: QueuePlace
    shares: Decimal
    touched: bool
    left: tuple[Decimal, ...]


def _served(
    order: PaperOrder, queue: QueuePlace, trades: Sequence[MarketTrade], left: Sequence[Decimal]
) -> _Served:
    """Let trades pass the order: its place, what it got, whether any reached it, what it left of them."""
    since, got, reached = queue.seen_ms, Decimal(0), False
    rests = list(left)
    for index, trade in enumerate(trades):
        if trade.venue_timestamp_ms <= since:
            continue
        queue = replace(queue, seen_ms=max(queue.seen_ms, trade.venue_timestamp_ms))
        if not reaches(trade, order.side, order.limit_price):
            continue
        reached = True
        queue, rest = let_pass(queue, left[index], trade.venue_timestamp_ms)
        shares = min(rest, order.remaining - got)
        rests[index] -= shares
        got += shares
    return _Served(queue, got, reached, tuple(rests))


def _at_own_price(order: PaperOrder, from_trades: Decimal, depth: Sequence[Match]) -> tuple[Match, ...]:
    """Return the matches at the order's own price: it rested first."""
    traded = (Match(from_trades, order.limit_price, None),) if from_trades > 0 else ()
    return traded + tuple(replace(match, price=order.limit_price) for match in depth)


def _priority(order: PaperOrder) -> tuple[Decimal, datetime]:
    price = -order.limit_price if order.side is Side.BUY else order.limit_price
    return price, order.created_at
