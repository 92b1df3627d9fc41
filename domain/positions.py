"""Positions: the fold of the fills ledger."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from domain.ids import AccountId, MarketId, TokenId
from domain.orders import Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionKey:
    """What a position is kept by."""

    account_id: AccountId
    venue: str
    mode: Mode
    token_id: TokenId


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """The net holding of an account in a token, and what its present episode earned.

    `average_entry` is the weighted average without fees, None when flat. `realized_pnl_usd` is after
    fees; what was paid to open is counted as the shares go. `fees_usd` is all that the episode paid.
    Negative `shares` are a deficit: more was sold than is known to be bought. `cost_usd` then holds what the
    uncovered shares brought, as a negative number, and there is no average entry. `unconfirmed_shares` is the
    sum of fills (either side) that the venue may still reverse.
    `episode` counts openings from zero and starts at 1 with the first fill.
    """

    key: PositionKey
    market_id: MarketId
    shares: Decimal
    average_entry: Decimal | None
    cost_usd: Decimal
    realized_pnl_usd: Decimal
    fees_usd: Decimal
    unconfirmed_shares: Decimal
    episode: int
    opened_at: datetime | None
    closed_at: datetime | None
