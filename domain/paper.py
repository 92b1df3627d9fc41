"""Paper orders: what the paper venue remembers of an order that no venue ever saw."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import TypeAlias

from domain.fills import Fill
from domain.ids import AccountId, MarketId, TokenId, VenueOrderId
from domain.orders import Side, TimeInForce, VenueOrder, VenueOrderStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperAccount:
    """Whose paper: an account at a venue."""

    account_id: AccountId
    venue: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePlace:
    """Where a resting paper order stands among the venue's orders at its own price.

    Attributes:
        ahead: shares that must trade before its own.
        credited: shares that `ahead` lost because the level shrank, and that a trade told late may still
            name: such a trade moves nothing up a second time.
        credited_ms: when the level shrank, by the venue's clock.
        seen_ms: the newest trade that was counted, by the venue's clock; older ones count no more.
    """

    ahead: Decimal
    credited: Decimal = Decimal(0)
    credited_ms: int = 0
    seen_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperOrder:
    """One paper order.

    `shares` is what it wants at its limit price; an immediate BUY spends a budget and may get more.
    `touched_at` is when the plain rule "the other side or a trade touches the price" would have filled all
    of it: shown beside the fills, which wait for depth and for their turn. Orders that never rest have no
    `queue`.

    Attributes:
        budget_usd: what an immediate BUY spends.
        held_until: when an order that its market holds meets the book.
    """

    venue_order_id: VenueOrderId
    account: PaperAccount
    market_id: MarketId
    token_id: TokenId
    side: Side
    time_in_force: TimeInForce
    shares: Decimal
    limit_price: Decimal
    matched_shares: Decimal
    status: VenueOrderStatus
    expiration_s: int
    created_at: datetime
    queue: QueuePlace | None = None
    touched_at: datetime | None = None
    budget_usd: Decimal | None = None
    held_until: datetime | None = None

    @property
    def remaining(self) -> Decimal:
        """Shares that it may still trade."""
        return Decimal(0) if self.status.is_terminal else self.shares - self.matched_shares

    def as_venue_order(self) -> VenueOrder:
        """Return what a venue would say of it."""
        budget = self.side is Side.BUY and self.time_in_force in (TimeInForce.FAK, TimeInForce.FOK)
        return VenueOrder(
            venue_order_id=self.venue_order_id,
            market_id=self.market_id,
            token_id=self.token_id,
            side=self.side,
            status=self.status,
            original_shares=None if budget else self.shares,
            matched_shares=self.matched_shares,
            price=self.limit_price,
            created_at=self.created_at,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperFill:
    """A fill, and the level of the live book whose depth it used.

    `level_price` is None for a resting order that got its shares out of a trade: it used no standing depth.
    """

    fill: Fill
    level_price: Decimal | None


UsedDepth: TypeAlias = Mapping[tuple[Side, Decimal], Decimal]
"""Shares that paper orders of a side have lately used of the live level at a price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthSeen:
    """The used depth of a token by which fills were judged: what fills since a time had used.

    Another process may use more before they are booked; they then have to be judged anew.
    """

    since: datetime
    used: UsedDepth


def uses_depth(fills: Sequence[PaperFill]) -> bool:
    """Say whether any of the fills takes its shares out of a live level."""
    return any(each.level_price is not None for each in fills)


def needed(order: PaperOrder, fills: Sequence[PaperFill]) -> Decimal:
    """Return what a new order must find free: shares for a SELL, USD with fees for a BUY.

    As a live venue does, the whole order is judged, not only what it fills now.
    """
    if order.side is Side.SELL:
        return order.shares
    fees = sum((each.fill.fee_usd for each in fills), Decimal(0))
    cost = sum((each.fill.notional_usd for each in fills), Decimal(0))
    return max(cost, order.shares * order.limit_price) + fees


def bound(order: PaperOrder) -> Decimal:
    """Return what an open order keeps from others: shares for a SELL, USD for a BUY."""
    return order.remaining if order.side is Side.SELL else order.remaining * order.limit_price


class Registration(StrEnum):
    """What became of a new paper order."""

    NEW = "new"
    DUPLICATE = "duplicate"  # the id is taken: nothing was changed
    SHORT = "short"  # shares or collateral do not cover it: nothing was changed
    OUTDATED = "outdated"  # more depth was used than its fills were judged by: nothing was changed


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperChanges:
    """Orders and fills after a place in the account's sequence, and the sequence's end."""

    orders: Sequence[PaperOrder]
    fills: Sequence[Fill]
    edge: int
