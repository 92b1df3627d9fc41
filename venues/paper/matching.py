"""What a paper order gets from a live book. Pure.

An order takes the levels that its limit allows, best first, each at the level's own price and by its depth;
what rests is filled at its own price once the other side comes to it. Paper takes nothing off the live book,
so depth that an order has used is remembered for a while, or until the level changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from domain.money import EXACT, floor_decimals
from domain.orders import Side, TimeInForce
from domain.ports import Book
from domain.quotes import Level

USED_FOR_MS = 60_000
_SHARE_PLACES = 6
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Match:
    """Shares at a price."""

    shares: Decimal
    price: Decimal

    @property
    def notional_usd(self) -> Decimal:
        """USD before fees, floored to a millionth as the exchange contract divides."""
        return floor_decimals(EXACT.multiply(self.shares, self.price), _SHARE_PLACES)


class _Used(NamedTuple):
    """What was taken off a level, how large the level was, and when (monotonic ms)."""

    size: Decimal
    shares: Decimal
    at_ms: int


@dataclass(slots=True)
class UsedDepth:
    """Depth of one token's levels that paper orders have taken.

    Nobody tells whether others would have put it back, so it is forgotten after `USED_FOR_MS`: an exit must
    not wait for ever on a level that looks as it did.
    """

    _used: dict[tuple[Side, Decimal], _Used] = field(default_factory=dict[tuple[Side, Decimal], _Used])

    def free(self, taker: Side, level: Level, now_ms: int) -> Decimal:
        """Return what is left of a level."""
        used = self._used.get((taker, level.price))
        if used is None or used.size != level.size or now_ms - used.at_ms >= USED_FOR_MS:
            return level.size
        return level.size - used.shares

    def take(self, taker: Side, level: Level, shares: Decimal, now_ms: int) -> None:
        """Remember that shares of a level are gone."""
        before = level.size - self.free(taker, level, now_ms)
        self._used[taker, level.price] = _Used(level.size, before + shares, now_ms)


def takes(side: Side, limit_price: Decimal, level: Level) -> bool:
    """Say whether an order with this limit trades at the level's price."""
    return level.price <= limit_price if side is Side.BUY else level.price >= limit_price


def opposite(book: Book, side: Side) -> Sequence[Level]:
    """Return the levels that an order of this side trades against, best first."""
    return book.asks if side is Side.BUY else book.bids


def match_shares(
    book: Book, side: Side, limit_price: Decimal, shares: Decimal, used: UsedDepth, now_ms: int
) -> tuple[Match, ...]:
    """Return what an order for `shares` gets now."""
    matches: list[Match] = []
    left = shares
    for level in opposite(book, side):
        if left <= 0 or not takes(side, limit_price, level):
            break
        got = min(left, used.free(side, level, now_ms))
        if got > 0:
            matches.append(Match(got, level.price))
            left -= got
    return tuple(matches)


def match_budget(
    book: Book, limit_price: Decimal, budget_usd: Decimal, used: UsedDepth, now_ms: int
) -> tuple[Match, ...]:
    """Return what an immediate BUY gets for its budget: a better price gives more shares, not change."""
    matches: list[Match] = []
    left = budget_usd
    for level in book.asks:
        if left <= 0 or not takes(Side.BUY, limit_price, level) or level.price <= 0:
            break
        affordable = floor_decimals(left / level.price, _SHARE_PLACES)
        match = Match(min(affordable, used.free(Side.BUY, level, now_ms)), level.price)
        if match.shares > 0:
            matches.append(match)
            left -= match.notional_usd
    return tuple(matches)


def matched(matches: Sequence[Match]) -> Decimal:
    """Return the shares of all matches."""
    return sum((match.shares for match in matches), _ZERO)


def is_immediate(time_in_force: TimeInForce) -> bool:
    """Say whether an order never rests."""
    return time_in_force in (TimeInForce.FAK, TimeInForce.FOK)
