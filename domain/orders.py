"""Orders, attempts, and what a venue may answer."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from domain.ids import AccountId, MarketId, OrderId, RuleId, TokenId, VenueOrderId, WalletId


class Mode(StrEnum):
    """Where orders go; part of the key of positions, fills, orders and claims."""

    PAPER = "paper"
    LIVE = "live"


class Side(StrEnum):
    """The direction of an order."""

    BUY = "BUY"
    SELL = "SELL"


class Purpose(StrEnum):
    """Entries open or add; exits only reduce a position."""

    ENTRY = "entry"
    EXIT = "exit"


class TimeInForce(StrEnum):
    """How long an order works: Polymarket's four order types."""

    FAK = "FAK"
    FOK = "FOK"
    GTC = "GTC"
    GTD = "GTD"


RESTING = frozenset({TimeInForce.GTC, TimeInForce.GTD})
"""The orders that stand in the book until they fill, end or are canceled; the others trade at once."""


class MarketState(StrEnum):
    """The six states of a market; only closed and resolved are final."""

    OPEN = "open"
    PAUSED = "paused"
    NOT_ACCEPTING = "not_accepting"
    CANCEL_ONLY = "cancel_only"
    CLOSED = "closed"
    RESOLVED = "resolved"

    @property
    def is_final(self) -> bool:
        """Whether the market never trades again."""
        return self in (MarketState.CLOSED, MarketState.RESOLVED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """What one token trades by: grid, minimums, fee, state. Prices in USD per share."""

    venue: str
    market_id: MarketId
    token_id: TokenId
    tick: Decimal
    min_shares: Decimal
    neg_risk: bool
    state: MarketState
    fee_rate: Decimal = Decimal(0)
    ends_at: datetime | None = None
    question: str = ""
    outcome: str = ""
    payout: Decimal | None = None  # USD per share once resolved
    hold_ms: int = 0  # how long the venue holds an order that would trade at once, before it does


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletIdentity:
    """The public identity that enters a signature; it never changes for a wallet."""

    wallet_id: WalletId
    signer: str
    funder: str
    signature_type: int
    chain_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try to place an order: everything that enters the signature, and its routing.

    Amounts are integers of 6 decimals: for a SELL the maker amount is shares and the taker amount USD,
    for a BUY the reverse. `timestamp_ms` and `salt` come from the workflow's history, so signing again
    on any machine gives the same bytes.
    """

    order_id: OrderId
    attempt: int
    account_id: AccountId
    venue: str
    mode: Mode
    market_id: MarketId
    token_id: TokenId
    side: Side
    purpose: Purpose
    time_in_force: TimeInForce
    post_only: bool
    shares: Decimal
    limit_price: Decimal
    maker_amount: int
    taker_amount: int
    salt: int
    timestamp_ms: int
    expiration_s: int
    tick: Decimal
    neg_risk: bool
    wallet: WalletIdentity


class AnswerKind(StrEnum):
    """What an answer to a POST means for the attempt; classified once, at the venue's edge."""

    ACCEPTED = "accepted"
    REGISTERED = "registered"  # an earlier POST of the same bytes was registered: look it up
    REBUILD = "rebuild"  # refused for a reason that a fresh read and a new attempt mend
    TRANSIENT = "transient"  # certainly not taken; wait, then the same bytes again
    UNKNOWN = "unknown"  # it may have been taken: look up, then the same bytes again
    NO_LIQUIDITY = "no_liquidity"
    BLOCKED = "blocked"  # needs a person: key, allowance, region, closed-only
    FINAL = "final"


class RebuildReason(StrEnum):
    """Why an attempt must be built anew."""

    TICK_CHANGED = "tick_changed"
    BELOW_MINIMUM = "below_minimum"
    POST_ONLY_WOULD_CROSS = "post_only_would_cross"
    BALANCE_SHORT = "balance_short"
    CANCELED_ON_CHAIN = "canceled_on_chain"  # this very order was cancelled in the exchange contract


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A venue's answer to a POST.

    `code` is stable and ours (for example `duplicated`, `post_only_mode`); `detail` is the venue's own
    words, for people only. `wait_ms` is what the venue asked us to wait.
    """

    kind: AnswerKind
    code: str
    detail: str = ""
    venue_order_id: VenueOrderId | None = None
    status: "VenueOrderStatus | None" = None
    rebuild: RebuildReason | None = None
    wait_ms: int | None = None


class VenueOrderStatus(StrEnum):
    """A venue's word on an order."""

    LIVE = "live"
    DELAYED = "delayed"
    MATCHED = "matched"
    CANCELED = "canceled"
    EXPIRED = "expired"
    INVALID = "invalid"

    @classmethod
    def _missing_(cls, value: object) -> "VenueOrderStatus | None":
        """Read an earlier word for an order that rests after its hold: histories may hold it."""
        return cls.LIVE if value == "unmatched" else None

    @property
    def is_terminal(self) -> bool:
        """Whether the venue will never fill more of it."""
        return self in _TERMINAL


_TERMINAL = frozenset(
    {
        VenueOrderStatus.MATCHED,
        VenueOrderStatus.CANCELED,
        VenueOrderStatus.EXPIRED,
        VenueOrderStatus.INVALID,
    }
)


def later_status(known: VenueOrderStatus | None, reported: VenueOrderStatus) -> VenueOrderStatus:
    """Return what to believe when reports may come late, twice or out of order: a terminal status stays."""
    return known if known is not None and known.is_terminal else reported


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueOrder:
    """What a venue says of one order now. Shares are of the order's own token."""

    venue_order_id: VenueOrderId
    market_id: MarketId
    token_id: TokenId
    side: Side
    status: VenueOrderStatus
    original_shares: Decimal | None  # None where the venue counts the order in USD
    matched_shares: Decimal
    price: Decimal
    created_at: datetime | None = None


class OrderState(StrEnum):
    """The life of our order, as its host sees it."""

    PENDING = "pending"
    PLACING = "placing"
    WAITING = "waiting"  # the venue or the database asked for patience
    BLOCKED = "blocked"
    RESTING = "resting"
    FOLLOWING = "following"  # taken by the venue; fills are being booked
    FILLED = "filled"
    PARTIALLY_FILLED = "partially_filled"
    CANCELED = "canceled"
    FAILED = "failed"

    @property
    def is_terminal(self) -> bool:
        """Whether the order can do nothing more."""
        return not ORDER_TRANSITIONS[self]


_S = OrderState
_OPEN_TARGETS = frozenset(_S) - {_S.PENDING}
ORDER_TRANSITIONS: dict[OrderState, frozenset[OrderState]] = {
    _S.PENDING: _OPEN_TARGETS,
    _S.PLACING: _OPEN_TARGETS,
    _S.WAITING: _OPEN_TARGETS,
    _S.BLOCKED: _OPEN_TARGETS,
    _S.RESTING: _OPEN_TARGETS - {_S.PLACING},
    _S.FOLLOWING: _OPEN_TARGETS,
    # a fill of a finished order may still be reversed by the venue: the exit then reopens
    _S.FILLED: frozenset(),
    _S.PARTIALLY_FILLED: frozenset(),
    _S.CANCELED: frozenset(),
    _S.FAILED: frozenset(),
}


def can_become(state: OrderState, following: OrderState) -> bool:
    """Say whether an order may go from `state` to `following`; staying is always legal."""
    return state is following or following in ORDER_TRANSITIONS[state]


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletHolding:
    """What one wallet holds of a token by the venue's own word. Shares."""

    wallet: WalletIdentity
    shares: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRow:
    """The projection of an order: written by its host alone, guarded by `version` (microseconds)."""

    order_id: OrderId
    account_id: AccountId
    host_workflow_id: str
    rule_id: RuleId | None
    venue: str
    mode: Mode
    market_id: MarketId
    token_id: TokenId
    side: Side
    purpose: Purpose
    time_in_force: TimeInForce
    state: OrderState
    shares: Decimal
    limit_price: Decimal | None
    attempt: int
    settled_attempt: int  # attempts up to this one are settled
    filled_shares: Decimal
    proceeds_usd: Decimal
    fee_usd: Decimal
    venue_order_id: VenueOrderId | None
    detail: str
    version: int
