"""Fills and the ledger's entries.

The ledger is append-only. A fill enters once when the venue reports it, its confirmation and its
reversal are further entries about the same fill, so any order and repetition of reports gives the
same set of entries.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from domain.ids import AccountId, MarketId, TokenId, VenueOrderId
from domain.orders import Mode, Side


class FillState(StrEnum):
    """What the venue says of a fill now."""

    PROVISIONAL = "provisional"
    CONFIRMED = "confirmed"
    REVERSED = "reversed"


class EntryKind(StrEnum):
    """What a ledger entry records."""

    FILL = "fill"
    CONFIRMATION = "confirmation"
    REVERSAL = "reversal"
    ADJUSTMENT = "adjustment"  # a difference to the venue's own balance
    SETTLEMENT = "settlement"  # the market resolved and pays each share


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """One execution as the venue reports it now.

    `fill_key` is the venue's: the trade id for a taker's fill, trade id and order id for a maker's.
    `notional_usd` is exact (the sum over the matched levels), so no average price has to be rounded.
    `fee_usd` is what this account pays on top (BUY) or out of the proceeds (SELL).
    """

    fill_key: str
    venue_order_id: VenueOrderId
    market_id: MarketId
    token_id: TokenId
    side: Side
    shares: Decimal
    notional_usd: Decimal
    fee_usd: Decimal
    state: FillState
    traded_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One line of the fills ledger; unique by account, venue, mode, `fill_key` and `kind`."""

    account_id: AccountId
    venue: str
    mode: Mode
    kind: EntryKind
    fill_key: str
    market_id: MarketId
    token_id: TokenId
    side: Side
    shares: Decimal
    notional_usd: Decimal
    fee_usd: Decimal
    venue_order_id: VenueOrderId | None
    traded_at: datetime


def entries_of(fill: Fill, account_id: AccountId, venue: str, mode: Mode) -> tuple[LedgerEntry, ...]:
    """Return the entries that a report of this fill amounts to: the fill, and what is known of its end."""
    kinds = [EntryKind.FILL]
    if fill.state is FillState.CONFIRMED:
        kinds.append(EntryKind.CONFIRMATION)
    elif fill.state is FillState.REVERSED:
        kinds.append(EntryKind.REVERSAL)
    return tuple(
        LedgerEntry(
            account_id=account_id,
            venue=venue,
            mode=mode,
            kind=kind,
            fill_key=fill.fill_key,
            market_id=fill.market_id,
            token_id=fill.token_id,
            side=fill.side,
            shares=fill.shares,
            notional_usd=fill.notional_usd,
            fee_usd=fill.fee_usd,
            venue_order_id=fill.venue_order_id,
            traded_at=fill.traded_at,
        )
        for kind in kinds
    )
