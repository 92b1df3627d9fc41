"""Fills of paper orders: confirmed at once, each with a key of its own. Pure."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from itertools import accumulate

from domain.fees import taker_fee
from domain.fills import Fill, FillState
from domain.money import plain
from domain.paper import PaperFill, PaperOrder
from venues.paper.matching import Match


def taker_fills(
    order: PaperOrder, matches: Sequence[Match], fee_rate: Decimal, traded_at: datetime
) -> tuple[PaperFill, ...]:
    """Return the first fills of an order, with the taker's fee in USD."""
    fees = [taker_fee(match.shares, match.price, fee_rate) for match in matches]
    return _fills(order, Decimal(0), matches, fees, traded_at)


def maker_fills(order: PaperOrder, matches: Sequence[Match], traded_at: datetime) -> tuple[PaperFill, ...]:
    """Return further fills of an order that rested first: it pays no fee."""
    fees = [Decimal(0) for _ in matches]
    return _fills(order, order.matched_shares, matches, fees, traded_at)


def _fills(
    order: PaperOrder,
    before: Decimal,
    matches: Sequence[Match],
    fees_usd: Sequence[Decimal],
    traded_at: datetime,
) -> tuple[PaperFill, ...]:
    """Return fills named by the order's matched shares with each; `before` them it had so many."""
    places = accumulate((match.shares for match in matches), initial=before)
    next(places)
    return tuple(
        PaperFill(fill=_fill(order, place, match, fee, traded_at), level_price=match.level_price)
        for place, match, fee in zip(places, matches, fees_usd, strict=True)
    )


def _fill(order: PaperOrder, place: Decimal, match: Match, fee_usd: Decimal, traded_at: datetime) -> Fill:
    return Fill(
        fill_key=f"{order.venue_order_id}:{plain(place)}",
        venue_order_id=order.venue_order_id,
        market_id=order.market_id,
        token_id=order.token_id,
        side=order.side,
        shares=match.shares,
        notional_usd=match.notional_usd,
        fee_usd=fee_usd,
        state=FillState.CONFIRMED,
        traded_at=traded_at,
    )
