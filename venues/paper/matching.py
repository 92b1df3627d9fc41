"""What a paper order gets from a live book. Pure.

An order takes the levels that its limit allows, best first, each at the level's own price and by its depth.
Paper takes nothing off the live book, so what paper orders of the account have lately used of a level is
subtracted from what the level shows, also when it shows another size since: nobody tells whether the change
was somebody's or would have been ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from domain.money import EXACT, floor_decimals
from domain.orders import RESTING, Side, TimeInForce
from domain.paper import PaperOrder, UsedDepth
from domain.ports import Book
from domain.quotes import Level

USED_FOR = timedelta(seconds=60)
"""How long used depth is remembered: an exit must not wait for ever on a level that looks as it did."""

_SHARE_PLACES = 6
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Match:
    """Shares at a price, out of the live level at `level_price` (None: out of a trade)."""

    shares: Decimal
    price: Decimal
    level_price: Decimal | None

    @property
    def notional_usd(self) -> Decimal:
        """USD before fees, floored to a millionth as the exchange contract divides."""
        return floor_decimals(EXACT.multiply(self.shares, self.price), _SHARE_PLACES)


def takes(side: Side, limit_price: Decimal, price: Decimal) -> bool:
    """Say whether an order with this limit trades at a price."""
    return price <= limit_price if side is Side.BUY else price >= limit_price


def opposite(book: Book, side: Side) -> Sequence[Level]:
    """Return the levels that an order of this side trades against, best first."""
    return book.asks if side is Side.BUY else book.bids


def same(book: Book, side: Side) -> Sequence[Level]:
    """Return the levels among which an order of this side rests, best first."""
    return book.bids if side is Side.BUY else book.asks


def crosses(book: Book, side: Side, limit_price: Decimal) -> bool:
    """Say whether an order with this limit trades at once with the book."""
    levels = opposite(book, side)
    return bool(levels) and takes(side, limit_price, levels[0].price)


def free(side: Side, level: Level, used: UsedDepth) -> Decimal:
    """Return what is left of a level for an order of this side."""
    return max(level.size - used.get((side, level.price), _ZERO), _ZERO)


def match_shares(
    book: Book, side: Side, limit_price: Decimal, shares: Decimal, used: UsedDepth
) -> tuple[Match, ...]:
    """Return what an order for `shares` gets now."""
    matches: list[Match] = []
    left = shares
    for level in opposite(book, side):
        if left <= 0 or not takes(side, limit_price, level.price):
            break
        got = min(left, free(side, level, used))
        if got > 0:
            matches.append(Match(got, level.price, level.price))
            left -= got
    return tuple(matches)


def match_budget(book: Book, limit_price: Decimal, budget_usd: Decimal, used: UsedDepth) -> tuple[Match, ...]:
    """Return what an immediate BUY gets for its budget: a better price gives more shares, not change."""
    matches: list[Match] = []
    left = budget_usd
    for level in book.asks:
        if left <= 0 or not takes(Side.BUY, limit_price, level.price) or level.price <= 0:
            break
        affordable = floor_decimals(left / level.price, _SHARE_PLACES)
        match = Match(min(affordable, free(Side.BUY, level, used)), level.price, level.price)
        if match.shares > 0:
            matches.append(match)
            left -= match.notional_usd
    return tuple(matches)


def match_order(order: PaperOrder, book: Book, used: UsedDepth) -> tuple[Match, ...]:
    """Return what an order gets at once; nothing for a FOK that cannot have all."""
    if order.budget_usd is not None:
        matches = match_budget(book, order.limit_price, order.budget_usd, used)
    else:
        matches = match_shares(book, order.side, order.limit_price, order.shares, used)
    # A full fill of a budget leaves less than a millionth of a share's price unspent.
    complete = matched(matches) >= order.shares
    return () if order.time_in_force is TimeInForce.FOK and not complete else matches


def matched(matches: Sequence[Match]) -> Decimal:
    """Return the shares of all matches."""
    return sum((match.shares for match in matches), _ZERO)


def also_used(used: UsedDepth, side: Side, matches: Sequence[Match]) -> UsedDepth:
    """Return the used depth with that of further matches."""
    total = dict(used)
    for match in matches:
        if match.level_price is not None:
            key = side, match.level_price
            total[key] = total.get(key, _ZERO) + match.shares
    return total


def is_immediate(time_in_force: TimeInForce) -> bool:
    """Say whether an order never rests."""
    return time_in_force not in RESTING
