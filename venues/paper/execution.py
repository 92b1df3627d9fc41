"""A paper order meets a book: when it is placed, or when its market lets go of it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from domain.ids import VenueOrderId
from domain.money import from_micros
from domain.orders import Attempt, Instrument, Side, VenueOrderStatus
from domain.paper import PaperAccount, PaperFill, PaperOrder, UsedDepth
from domain.ports import Book
from venues.paper.fills import taker_fills
from venues.paper.matching import Match, crosses, is_immediate, match_order, matched
from venues.paper.queue import join


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a market offers an order now. `at_ms` is the book's time by the venue's clock."""

    instrument: Instrument
    book: Book
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Met:
    """An order as it left the book, and what it got there."""

    order: PaperOrder
    fills: tuple[PaperFill, ...]


def new_order(
    attempt: Attempt, venue_order_id: VenueOrderId, account: PaperAccount, now: datetime
) -> PaperOrder:
    """Return the order of an attempt before it meets anything."""
    spends = attempt.side is Side.BUY and is_immediate(attempt.time_in_force)
    return PaperOrder(
        venue_order_id=venue_order_id,
        account=account,
        market_id=attempt.market_id,
        token_id=attempt.token_id,
        side=attempt.side,
        time_in_force=attempt.time_in_force,
        shares=attempt.shares,
        limit_price=attempt.limit_price,
        matched_shares=Decimal(0),
        status=VenueOrderStatus.LIVE,
        expiration_s=attempt.expiration_s,
        created_at=now,
        budget_usd=from_micros(attempt.maker_amount) if spends else None,
    )


def meet(order: PaperOrder, offer: Offer, used: UsedDepth, now: datetime) -> Met:
    """Let an order take what its limit allows; what is left of it rests behind its price, or is killed."""
    matches = match_order(order, offer.book, used)
    after = _after(order, matches, offer, now)
    return Met(order=after, fills=taker_fills(after, matches, offer.instrument.fee_rate, now))


def held(order: PaperOrder, hold_ms: int, now: datetime) -> PaperOrder:
    """Return an order that its market holds: taken, and neither matched nor to be canceled yet."""
    return replace(order, status=VenueOrderStatus.DELAYED, held_until=now + timedelta(milliseconds=hold_ms))


def is_due(order: PaperOrder, now: datetime) -> bool:
    """Say whether an order is held and its hold is over."""
    until = order.held_until
    return order.status is VenueOrderStatus.DELAYED and until is not None and now >= until


def _after(order: PaperOrder, matches: Sequence[Match], offer: Offer, now: datetime) -> PaperOrder:
    got, side, price, queue = matched(matches), order.side, order.limit_price, None
    if is_immediate(order.time_in_force):
        # The rest is killed; the order itself counts as matched (venue's documentation).
        status = VenueOrderStatus.MATCHED if matches else VenueOrderStatus.CANCELED
    else:
        status = VenueOrderStatus.MATCHED if got >= order.shares else VenueOrderStatus.LIVE
        queue = join(offer.book, side, price, offer.at_ms)
    touched_at = now if crosses(offer.book, side, price) else None
    return replace(order, matched_shares=got, status=status, queue=queue, touched_at=touched_at)
