"""The queue at a price: what trades before a resting paper order. Pure.

The order joins behind everything that stands at its price when it is placed. What is ahead of it then
becomes less in two ways only, and where they cannot be told apart the one that favours the user least counts:

- a trade at the price or beyond it goes to those ahead first, and to the order with what is left;
- the level shows fewer shares than were ahead: what left the level is taken to have stood behind the order
  as far as that is possible.

A trade also shrinks the level, and the venue may tell the one before the other. Shares that the shrinking has
already moved up are therefore owed: trades told within `TOLD_WITHIN_MS` of it pay them back first and move
nothing up a second time.
"""

from dataclasses import replace
from decimal import Decimal

from domain.orders import Side
from domain.paper import QueuePlace
from domain.ports import Book, MarketTrade
from venues.paper.matching import same, takes

TOLD_WITHIN_MS = 5_000
_ZERO = Decimal(0)


def standing(book: Book, side: Side, price: Decimal) -> Decimal:
    """Return the shares that stand in the book on this side at a price."""
    return next((level.size for level in same(book, side) if level.price == price), _ZERO)


def join(book: Book, side: Side, price: Decimal, at_ms: int) -> QueuePlace:
    """Return the last place in the queue; trades up to `at_ms` (venue's clock) came before it."""
    return QueuePlace(ahead=standing(book, side, price), seen_ms=at_ms)


def level_shows(place: QueuePlace, shares: Decimal, at_ms: int) -> QueuePlace:
    """Return the place after the level was seen with this many shares."""
    gone = place.ahead - shares
    if gone <= 0:
        return place
    newest = max(place.credited_ms, at_ms)
    return replace(place, ahead=shares, credited=_owed(place, at_ms) + gone, credited_ms=newest)


def is_news(place: QueuePlace, at_ms: int) -> bool:
    """Say whether a book of this time may tell of a place: one from before the order joined may not.

    A book may come by two ways, and the slower one may show what was before.
    """
    return at_ms >= place.seen_ms


def reaches(trade: MarketTrade, side: Side, price: Decimal) -> bool:
    """Say whether a trade was at an order's price or beyond it, and came to its side of the book."""
    return trade.taker is not side and takes(side, price, trade.price)


def let_pass(place: QueuePlace, shares: Decimal, at_ms: int) -> tuple[QueuePlace, Decimal]:
    """Return the place after a trade that reached it, and what of the trade was left for the order."""
    owed = _owed(place, at_ms)
    paid_back = min(shares, owed)
    passed = min(shares - paid_back, place.ahead)
    after = replace(place, ahead=place.ahead - passed, credited=owed - paid_back)
    return after, shares - paid_back - passed


def _owed(place: QueuePlace, at_ms: int) -> Decimal:
    return place.credited if at_ms <= place.credited_ms + TOLD_WITHIN_MS else _ZERO
